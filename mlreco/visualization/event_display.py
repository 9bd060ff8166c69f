"""The event display: one page a person opens in a browser to see what was reconstructed in an event."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlreco.atomic import write_text
from mlreco.errors import UserError
from mlreco.iotools.output.schema import source_files
from mlreco.post_processing.predicted import predicted_classes, predicted_instances
from mlreco.semantics import class_scheme
from mlreco.visualization.colours import class_colours
from mlreco.visualization.event_document import describe_event
from mlreco.visualization.event_scales import Products
from mlreco.visualization.event_summary import class_tables, instance_tables
from mlreco.visualization.page import colour_chip, html_page

if TYPE_CHECKING:
    from mlreco.iotools import HDF5Reader

_TOOLBAR = """<div class="toolbar">
<label><input type="checkbox" id="linked" checked> linked cameras</label>
<label>marker size <input type="range" id="size" min="0.5" max="8" step="0.1" value="{size}"></label>
{classes}
<button id="show-all" disabled>show all instances</button>
<span id="shown"></span>
<span class="note">drag: rotate &middot; wheel: zoom &middot; click on an instance: show it alone</span>
</div>"""


def write_event_display(reader: HDF5Reader, event: int, path: str | os.PathLike) -> None:
    """Write the page of one event: a single HTML file that needs no network.

    Args:
        reader: an open output file.
        event: number of the event in the file, from 0.
        path: the page to write; it appears complete or not at all.

    Raises:
        UserError: the file has no such event or no voxel coordinates, or the page cannot be written.
    """
    page = event_page(reader, event)
    write_text(path, page)


def event_page(reader: HDF5Reader, event: int) -> str:
    """Return the page of one event as HTML text.

    Args:
        reader: an open output file.
        event: number of the event in the file, from 0.

    Raises:
        UserError: the file has no such event or no voxel coordinates.
    """
    if not 0 <= event < len(reader):
        raise UserError(f"no event {event}: the file has {len(reader)} events, numbered from 0")
    return page_of_products(reader[event], reader.info, event)


def page_of_products(products: Products, info: dict, event: int) -> str:
    """Return the page of an event whose products are at hand.

    Args:
        products: name -> array.
        info: what holds for all events of the file.
        event: number of the event in the file, from 0.

    Raises:
        UserError: the event has no voxel coordinates.
    """
    if "coordinates" not in products:
        raise UserError(f"event {event} has no product 'coordinates'; products: {', '.join(sorted(products))}")
    classes = class_names(info)
    header = _header(products, info, event)
    if not len(products["coordinates"]):
        body = f'{header}\n<div class="card empty">This event has no voxels.</div>'
        return html_page(_title(products, event), body, styles=["event_display.css"])
    document = describe_event(products, classes)
    scenes = [
        f'<div class="card"><h2>{escape(scene["title"])}</h2><div class="scene" id="scene-{i}"></div></div>'
        for i, scene in enumerate(document["scenes"])
    ]
    tables = class_tables(products, classes)
    summary = f'<div class="card summary"><h2>Summary</h2>{tables}</div>' if tables else ""
    toolbar = _TOOLBAR.format(size=document["marker"]["size"], classes=_class_boxes(products, classes))
    grid = "grid two-rows" if len(scenes) > 3 else "grid"
    body = [header, toolbar, f'<div class="{grid}">', *scenes[:1], summary, *scenes[1:], "</div>"]
    body += [instance_tables(products, classes, document["instances"]), '<div id="tooltip"></div>']
    return html_page(
        _title(products, event),
        "\n".join(body),
        styles=["event_display.css"],
        data={"event-data": document},
        scripts=["columns.js", "event_display.js"],
    )


def class_names(info: dict) -> list[str]:
    """Return the names of the semantic classes of an output file, by number."""
    names = info.get("classes")
    if names is None:
        return list(class_scheme(_text(info.get("class_scheme", "pilarnet"))).classes)
    if isinstance(names, str | bytes):
        names = json.loads(names)
    return [_text(name) for name in names]


def _class_boxes(products: Products, classes: list[str]) -> str:
    """Return a check box for every class that occurs in the classes by which the page selects voxels."""
    order = (predicted_classes(products), "semantics_true", "semantics")
    labels = next((products[name] for name in order if name in products), np.empty(0, dtype=int))
    present = set(np.unique(labels).tolist())
    return "\n".join(
        f'<label><input type="checkbox" data-class="{number}" checked>'
        f"<span>{colour_chip(colour)}{escape(name)}</span></label>"
        for number, (name, colour) in enumerate(class_colours(classes).items())
        if number in present
    )


def _title(products: Products, event: int) -> str:
    if "event_id" not in products:
        return f"Event {event} of the file"
    run, subrun, number = np.ravel(products["event_id"]).tolist()
    return f"Run {run}, subrun {subrun}, event {number}"


def _header(products: Products, info: dict, event: int) -> str:
    facts = [("entry", str(event)), ("voxels", f"{len(products['coordinates']):,}")]
    if "energies" in products:
        facts.append(("deposited energy", f"{np.nansum(products['energies']):,.1f} MeV"))
    for name, product in (("true instances", "instances_true"), ("predicted instances", predicted_instances(products))):
        if product in products:
            facts.append((name, str(len(np.unique(products[product][products[product] >= 0])))))
    facts.append(("source", _source(products, info)))
    if "mlreco_version" in info:
        facts.append(("mlreco", _text(info["mlreco_version"])))
    shown = "".join(f"<span>{escape(name)} <b>{escape(value)}</b></span>" for name, value in facts if value)
    return f'<div class="header"><h1>{escape(_title(products, event))}</h1><p class="facts">{shown}</p></div>'


def _source(products: Products, info: dict) -> str:
    """Return the name of the file that the event was read from and its entry there."""
    if "source" not in products or not np.size(products["source"]):
        return ""
    file_number, entry = np.ravel(products["source"]).tolist()
    names = source_files(info)
    name = Path(names[file_number]).name if 0 <= file_number < len(names) else f"file {file_number}"
    return f"{name}, entry {entry}"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
