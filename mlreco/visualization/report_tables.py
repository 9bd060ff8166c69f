"""The tables of a report, after those of Koh et al. 2020."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape

from mlreco.post_processing.evaluation.failures import Failure
from mlreco.post_processing.evaluation.found import FoundInstances
from mlreco.post_processing.evaluation.interactions import InteractionEvaluation
from mlreco.post_processing.evaluation.summary import ALL, Evaluation
from mlreco.visualization.colours import class_colours
from mlreco.visualization.page import colour_chip, html_table

_METRICS = {"purity": "purity", "efficiency": "efficiency", "ari": "ARI", "ami": "AMI", "sbd": "SBD"}
_THRESHOLDS = {
    "seed": "seediness s<sub>0</sub>",
    "probability": "probability p<sub>0</sub>",
    "voxel_distance": "link, voxels",
    "embedding_distance": "link, embedding",
    "join_distance": "join, embedding",
    "min_voxels": "least voxels",
    "merge": "merge, log-odds",
    "attach": "give away, log-odds",
    "small": "small below, voxels",
}
"""Titles of the thresholds of all clusterers; a name that is not here is its own title."""


def sample_table(evaluation: Evaluation) -> str:
    """Return table I: instances, events, instances per event (mean and standard deviation) and voxels of each class."""
    rows = []
    for number, name in _classes(evaluation):
        counts = evaluation.rows["true_instances"][evaluation.rows["class"] == number]
        voxels = int(evaluation.rows["voxels"][evaluation.rows["class"] == number].sum())
        per_event = f"{counts.mean():.1f} &plusmn; {counts.std():.1f}" if len(counts) else "&ndash;"
        rows.append([name, f"{int(counts.sum()):,}", f"{len(counts):,}", per_event, f"{voxels:,}"])
    return html_table(["class", "true instances", "events", "instances per event", "voxels"], rows)


def threshold_table(info: dict) -> str:
    """Return table II, the thresholds of the clusterer; nothing where the file does not hold them."""
    thresholds = json.loads(info.get("thresholds") or "{}")
    if not thresholds:
        return ""
    columns = list(dict.fromkeys(key for values in thresholds.values() for key in values))
    rows = [
        [escape(name), *(f"{values[key]:g}" if key in values else "&ndash;" for key in columns)]
        for name, values in thresholds.items()
    ]
    return html_table(["class", *(_THRESHOLDS.get(key, escape(key)) for key in columns)], rows)


def metric_table(evaluation: Evaluation) -> str:
    """Return table III: each metric averaged over events, and the numbers of events behind it."""
    rows = []
    for number, name in _classes(evaluation):
        summary = evaluation.summary(number)
        metrics = [_decimal(summary[metric]) for metric in _METRICS]
        metrics.insert(3, _decimal(summary["ari_multi"]))
        rows.append([name, *metrics, f"{summary['events']:,}", f"{summary['events_multi']:,}"])
    titles = list(_METRICS.values())
    titles.insert(3, "ARI multi")
    return html_table(["class", *titles, "events", "multi events"], rows)


def instance_metric_table(evaluation: Evaluation) -> str:
    """Return table III with every instance counted once: its event's value, averaged over instances."""
    rows = []
    for number, name in _classes(evaluation):
        summary = evaluation.summary(number)
        metrics = [_decimal(summary["per_instance"][metric]) for metric in _METRICS]
        rows.append([name, *metrics, f"{summary['true_instances']:,}", f"{summary['pred_instances']:,}"])
    return html_table(["class", *_METRICS.values(), "true instances", "predicted instances"], rows)


def interaction_table(interactions: InteractionEvaluation | None) -> str:
    """Return the metrics of interactions, mean over events; nothing without them."""
    if interactions is None:
        return ""
    summary = interactions.summary()
    names = [*_METRICS]
    names.insert(3, "ari_multi")
    metrics = ["&ndash;" if summary[name] is None else _decimal(summary[name]) for name in names]
    counts = ("true_interactions", "pred_interactions", "events", "events_multi")
    titles = [_METRICS.get(name, "ARI multi") for name in names]
    return html_table(
        ["", *titles, "true", "predicted", "events", "multi events"],
        [["all", *metrics, *(f"{summary[name]:,}" for name in counts)]],
    )


def found_table(found: FoundInstances | None) -> str:
    """Return which true instances were found, and how many of the predicted ones are genuine; nothing without them."""
    if found is None:
        return ""
    colours = {name: colour_chip(colour) for name, colour in class_colours(list(found.classes)).items()}
    rows = []
    for row in found.shares():
        shares = ["&ndash;" if math.isnan(value) else _decimal(value) for value in (row.found, row.right, row.genuine)]
        counts = (f"{row.true:,}", f"{row.predicted:,}")
        rows.append([colours.get(row.name, "") + escape(row.name), *shares, *counts])
    return html_table(["class", "found", "right class", "genuine", "true instances", "predicted instances"], rows)


def failure_table(failures: Mapping[str, Sequence[Failure]], worst: int = 3) -> str:
    """Return a table of the kinds of failure, with the worst events of each."""
    rows = []
    for kind, found in failures.items():
        places = ", ".join(f"{one.event} ({one.class_name}, {one.voxels:,})" for one in found[:worst])
        rows.append([kind, f"{len(found):,}", f"{sum(one.voxels for one in found):,}", escape(places) or "&ndash;"])
    return html_table(["kind", "cases", "voxels", "worst events (class, voxels)"], rows)


def _classes(evaluation: Evaluation) -> list[tuple[int, str]]:
    """Return number and cell of every class, and of all classes together at the end."""
    colours = class_colours(list(evaluation.classes))
    cells = [(number, colour_chip(colour) + escape(name)) for number, (name, colour) in enumerate(colours.items())]
    return [*cells, (ALL, "all")]


def _decimal(value: float) -> str:
    return "&ndash;" if math.isnan(value) else f"{value:.4f}"
