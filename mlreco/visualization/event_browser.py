"""The event browser: one page that a person opens in a browser to look through the events of a file.

It needs no network. Events are inside the page as long as they fit; the others are scripts in a folder beside it, which
the page loads when they are looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Protocol

from mlreco.atomic import make_folder, write_text
from mlreco.errors import UserError
from mlreco.progress import Progress
from mlreco.visualization.colours import class_colours
from mlreco.visualization.event_display import class_names, event_document, scheme_of
from mlreco.visualization.event_index import COLUMNS, index_row
from mlreco.visualization.event_scales import Products
from mlreco.visualization.page import colour_chip, html_page, json_text
from mlreco.visualization.particle_points import with_measured_particles

MOST_BYTES = 60_000_000
"""Events in a page, unless the user says otherwise: more take a browser seconds to read."""

_PAGE = """<div class="page">
{list}<div class="main">
<div class="header"><h1 id="title">{title}</h1><p class="facts" id="facts">{facts}</p></div>
<div class="toolbar"><span{alone}><button id="previous" disabled>previous</button>
<button id="next" disabled>next</button></span>
<label><input type="checkbox" id="linked" checked> linked cameras</label>
<label>size <input type="range" id="size" min="0.5" max="8" step="0.1" value="3"></label>
{classes}
<label id="errors-box" hidden><input type="checkbox" id="errors"> errors only</label>
<label id="points-box" hidden><input type="checkbox" id="points"> start (&#9671;) and end (+) points</label>
<button id="show-all" disabled>show all instances</button>
<label><input type="checkbox" id="dark"> dark</label>
<span id="shown" class="note"></span>
<span class="note">drag: rotate &middot; wheel: zoom &middot; click on an instance: show it alone</span>
</div>
<div class="card empty" id="message"{filled}>This event has no voxels.</div>
<div id="panels"{empty}><div class="grid {many}">
{cards}
</div>
<details class="instances" id="instances-box" open hidden><summary>Instances: point at one to see it, click to show it
alone</summary><div id="instances"></div></details></div>
</div></div><div id="tooltip"></div>"""


class Events(Protocol):
    """Events by number, such as those of `mlreco.iotools.HDF5Reader` and of `mlreco.open`."""

    info: dict[str, Any]

    def __len__(self) -> int:
        """Return the number of events."""

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """Return the products of an event."""


@dataclass(frozen=True)
class WrittenPage:
    """What was written.

    Attributes:
        path: the page.
        events: number of events.
        size: bytes of the page.
        folder: folder with the events that are not in the page; None where all are.
        outside: number of these events.
        folder_size: bytes of their files.
    """

    path: Path
    events: int
    size: int
    folder: Path | None = None
    outside: int = 0
    folder_size: int = 0


def write_event_browser(
    reader: Events,
    events: Iterable[int],
    path: str | os.PathLike[str],
    most_bytes: int = MOST_BYTES,
    measured: bool = False,
) -> WrittenPage:
    """Write the page of some events of a file.

    Args:
        reader: the file.
        events: their numbers, from 0.
        path: the page to write; it appears complete or not at all.
        most_bytes: bytes of events inside the page; the first event is always inside.
        measured: whether starts and ends are measured for events without a table of particles.

    Raises:
        UserError: no such event, an event without coordinates, or the page cannot be written.
    """
    path, numbers = Path(path), list(events)
    folder = path.with_name(f"{path.stem}_events")
    inside: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    first: dict[str, Any] = {}
    cards: dict[str, str] = {}
    size = folder_size = 0
    with Progress("display", total=len(numbers)) as progress:
        for document, row in _described(reader, numbers, measured):
            text = json_text(document)
            if rows and size + len(text) > most_bytes:
                make_folder(folder)
                script = f"mlrecoBrowser.receive({document['number']}, {text});\n"
                write_text(folder / f"event_{document['number']:06d}.js", script)
                row["file"] = f"{folder.name}/event_{document['number']:06d}.js"
                folder_size += len(script)
            else:
                inside[f"event-{document['number']}"] = text
                size += len(text)
            rows.append(row)
            first = first or document
            cards |= {scene["key"]: scene["title"] for scene in document["scenes"]}
            progress.advance()
    page = _page(first, rows, cards, class_names(reader.info), inside)
    write_text(path, page)
    outside = sum("file" in row for row in rows)
    return WrittenPage(path, len(rows), len(page), folder if outside else None, outside, folder_size)


def write_event_display(reader: Events, event: int, path: str | os.PathLike[str]) -> None:
    """Write the page of one event.

    Raises:
        UserError: as in `write_event_browser`.
    """
    write_event_browser(reader, [event], path)


def event_page(reader: Events, event: int) -> str:
    """Return the page of one event as HTML text.

    Raises:
        UserError: the file has no such event or no voxel coordinates.
    """
    [(document, row)] = _described(reader, [event])
    return _page_of_one(document, row, class_names(reader.info))


def page_of_products(products: Products, info: Mapping[str, Any], event: int) -> str:
    """Return the page of an event whose products are at hand.

    Args:
        products: name -> array.
        info: what holds for all events of the file.
        event: number of the event in the file, from 0.

    Raises:
        UserError: the event has no voxel coordinates.
    """
    document = event_document(products, info, event)
    return _page_of_one(document, index_row(products, class_names(info), event), class_names(info))


def _page_of_one(document: dict[str, Any], row: dict[str, Any], classes: list[str]) -> str:
    cards = {scene["key"]: scene["title"] for scene in document["scenes"]}
    return _page(document, [row], cards, classes, {f"event-{document['number']}": json_text(document)})


def _described(
    reader: Events, events: Iterable[int], measured: bool = False
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield what the page shows of each event, and its row in the list."""
    classes = class_names(reader.info)
    for event in events:
        if not 0 <= event < len(reader):
            raise UserError(f"no event {event}: the file has {len(reader)} events, numbered from 0")
        products = dict(reader[event])
        if measured:
            products = with_measured_particles(products, scheme_of(reader.info))
        yield event_document(products, reader.info, event), index_row(products, classes, event)


def _page(
    first: Mapping[str, Any],
    rows: list[dict[str, Any]],
    cards: Mapping[str, str],
    classes: list[str],
    inside: Mapping[str, str],
) -> str:
    """Return the page.

    Args:
        first: the event that is shown first; its words stand in the page for those who search in it.
        rows: the list of events.
        cards: key of a scene -> its title, of all events.
        classes: names of the semantic classes.
        inside: id of an element -> JSON text of an event.
    """
    columns = [column for column in COLUMNS if any(row[column["key"]] is not None for row in rows)]
    parts = [
        f'<div class="card" data-scene="{escape(key)}"><h2>{escape(title)}</h2>'
        f'<button class="enlarge">enlarge</button><div class="scene" id="scene-{escape(key)}"></div></div>'
        for key, title in cards.items()
    ]
    if first["tables"]:
        parts.insert(1, f'<div class="card summary"><h2>Summary</h2><div id="summary">{first["tables"]}</div></div>')
    body = _PAGE.format(
        list=_list(columns) if len(rows) > 1 else "",
        alone="" if len(rows) > 1 else " hidden",
        title=escape(first["title"]),
        facts="".join(f"<span>{escape(name)} <b>{escape(value)}</b></span>" for name, value in first["facts"]),
        classes=_class_boxes(classes),
        filled=" hidden" if first["count"] else "",
        empty="" if first["count"] else " hidden",
        many="many" if len(parts) == 4 or len(parts) > 6 else "some",
        cards="\n".join(parts),
    )
    index = json_text({"columns": columns, "rows": rows})
    return html_page(
        first["title"],
        body,
        styles=["event_display.css"],
        data={**inside, "event-index": index},
        scripts=["columns.js", "event_display.js", "event_browser.js"],
    )


def _list(columns: Sequence[Mapping[str, Any]]) -> str:
    """Return the table whose rows the page's script fills in."""
    head = "".join(f'<th data-key="{column["key"]}">{column["title"]}</th>' for column in columns)
    return f'<div class="list"><table id="events"><thead><tr>{head}</tr></thead><tbody></tbody></table></div>\n'


def _class_boxes(classes: list[str]) -> str:
    """Return a check box for every class."""
    return "\n".join(
        f'<label><input type="checkbox" data-class="{number}" checked>'
        f"<span>{colour_chip(colour)}{escape(name)}</span></label>"
        for number, (name, colour) in enumerate(class_colours(classes).items())
    )
