"""The list of events of a page: a row each, by whose numbers it can be sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlreco.post_processing.contingency import contingency
from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, compared_labels
from mlreco.post_processing.evaluation.failures import find_failures
from mlreco.post_processing.evaluation.summary import ALL
from mlreco.post_processing.evaluation.tables import EventTable
from mlreco.post_processing.predicted import predicted_instances
from mlreco.visualization.event_document import finite
from mlreco.visualization.event_scales import Products
from mlreco.visualization.event_summary import clustering_scores

COLUMNS: tuple[dict[str, Any], ...] = (
    {"key": "number", "title": "event", "digits": 0},
    {"key": "voxels", "title": "voxels", "digits": 0},
    {"key": "energy", "title": "MeV", "digits": 0},
    {"key": "true", "title": "true", "digits": 0},
    {"key": "predicted", "title": "found", "digits": 0},
    {"key": "ari", "title": "ARI", "digits": 3},
    {"key": "failures", "title": "failures", "digits": 0},
)
"""Key of a number in a row, its title and the digits after the point."""


def index_row(products: Products, classes: Sequence[str], event: int) -> dict[str, Any]:
    """Return the row of an event; None for a number that is not known.

    Args:
        products: name -> array.
        classes: names of the semantic classes, by number.
        event: number of the event in the file.

    Returns:
        A number for each key of ``COLUMNS``; ``failures`` is how many kinds of failure there are in how many classes,
        ``failures_text`` names them.
    """
    energies = products.get("energies")
    scores = clustering_scores(products, len(classes)).get(ALL)
    failures = _failures(products, classes, event)
    return {
        "number": event,
        "voxels": len(products["coordinates"]),
        "energy": None if energies is None else finite(float(np.nansum(energies)), 1),
        "true": None if scores is None else int(scores["true_instances"]),
        "predicted": _predicted(products) if scores is None else int(scores["pred_instances"]),
        "ari": None if scores is None else round(float(scores["ari"]), 4),
        "failures": None if failures is None else len(failures),
        "failures_text": "; ".join(failures or ()),
    }


def _predicted(products: Products) -> int | None:
    labels = products.get(predicted_instances(products))
    return None if labels is None else len(np.unique(labels[labels >= 0]))


def _failures(products: Products, classes: Sequence[str], event: int) -> list[str] | None:
    needed = ("semantics_true", "instances_true", predicted_instances(products))
    if any(name not in products for name in needed):
        return None
    semantics, instances, fragments = (products[name] for name in needed)
    labels = compared_labels(semantics, instances, fragments, len(classes), MIN_VOXELS)
    tables = [EventTable(event, number, contingency(true, found)) for number, true, found in labels]
    return [
        f"{kind}, {one.class_name}: {one.voxels} voxels"
        for kind, found in find_failures(tables, classes).items()
        for one in found
    ]
