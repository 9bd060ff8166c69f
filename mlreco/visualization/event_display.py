"""What a page shows of one event: its title and numbers, tables, voxels and scenes, for the scripts of the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS
from mlreco.post_processing.evaluation.summary import ALL
from mlreco.post_processing.predicted import predicted_instances
from mlreco.semantics import PILARNET, ClassScheme, class_scheme
from mlreco.visualization.event_document import describe_event
from mlreco.visualization.event_scales import Products
from mlreco.visualization.event_summary import class_tables, clustering_scores
from mlreco.visualization.particle_points import particle_points


def event_document(products: Products, info: Mapping[str, Any], event: int) -> dict[str, Any]:
    """Return everything that a page shows of an event, JSON-ready.

    Args:
        products: name -> array.
        info: what holds for all events of the file.
        event: number of the event in the file, from 0.

    Returns:
        What `describe_event` returns, for an event with voxels, and ``number``, ``title``, ``facts`` (names and
        values), ``tables`` (HTML), ``count`` and ``points`` (of `particle_points`).

    Raises:
        UserError: the event has no voxel coordinates.
    """
    if "coordinates" not in products:
        raise UserError(f"event {event} has no product 'coordinates'; products: {', '.join(sorted(products))}")
    classes = class_names(info)
    count = len(products["coordinates"])
    head = {"number": event, "title": event_title(products, event), "facts": _facts(products, info, event)}
    if not count:
        return {**head, "count": 0, "tables": "", "scenes": [], "instances": {}, "points": []}
    shown = {**describe_event(products, classes), "points": particle_points(products)}
    return {**head, "tables": class_tables(products, classes), **shown}


def scheme_of(info: Mapping[str, Any]) -> ClassScheme:
    """Return the numbering of the classes of a file."""
    return class_scheme(_text(info.get("class_scheme", PILARNET.name)))


def class_names(info: Mapping[str, Any]) -> list[str]:
    """Return the names of the semantic classes of an output file, by number."""
    names = info.get("classes")
    if names is None:
        return list(scheme_of(info).classes)
    if isinstance(names, str | bytes):
        names = json.loads(names)
    return [_text(name) for name in names]


def event_title(products: Products, event: int) -> str:
    """Return what an event is called."""
    if "event_id" not in products:
        return f"Event {event} of the file"
    run, subrun, number = np.ravel(products["event_id"]).tolist()
    return f"Run {run}, subrun {subrun}, event {number}"


def _facts(products: Products, info: Mapping[str, Any], event: int) -> list[tuple[str, str]]:
    facts = [("entry", str(event)), ("voxels", f"{len(products['coordinates']):,}")]
    if "energies" in products:
        facts.append(("deposited energy", f"{np.nansum(products['energies']):,.1f} MeV"))
    facts += instance_counts(products, len(class_names(info)))
    facts.append(("source", _source(products, info)))
    if "mlreco_version" in info:
        facts.append(("mlreco", _text(info["mlreco_version"])))
    return [(name, value) for name, value in facts if value]


def instance_counts(products: Products, n_classes: int) -> list[tuple[str, str]]:
    """Return how many instances there are: with truth as the metrics count them, without small true instances.

    Args:
        products: name -> array of one event.
        n_classes: number of semantic classes.
    """
    row = clustering_scores(products, n_classes).get(ALL)
    if row is not None:
        rule = f"of {MIN_VOXELS} voxels and more"
        return [
            (f"true instances {rule}", str(int(row["true_instances"]))),
            ("predicted instances there", str(int(row["pred_instances"]))),
        ]
    found = []
    for name, product in (("true instances", "instances_true"), ("predicted instances", predicted_instances(products))):
        if product in products:
            found.append((name, str(len(np.unique(products[product][products[product] >= 0])))))
    return found


def _source(products: Products, info: Mapping[str, Any]) -> str:
    """Return the name of the file that the event was read from and its entry there."""
    if "source" not in products or not np.size(products["source"]):
        return ""
    file_number, entry = np.ravel(products["source"]).tolist()
    listed = info.get("source_files", "[]")
    names = json.loads(listed) if isinstance(listed, str | bytes) else list(listed)
    name = Path(_text(names[file_number])).name if 0 <= file_number < len(names) else f"file {file_number}"
    return f"{name}, entry {entry}"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
