"""Which events a report shows, and what it shows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlreco.post_processing.evaluation.failures import Failure
from mlreco.post_processing.evaluation.summary import ALL, Evaluation, with_several
from mlreco.visualization.event_document import describe_event

if TYPE_CHECKING:
    from mlreco.iotools import HDF5Reader

_PRODUCTS = (
    "coordinates",
    "energies",
    "instances_true",
    "fragments",
    "instances",
    "embeddings",
    "image_origin",
    "voxel_size",
)


@dataclass(frozen=True)
class ChosenEvent:
    """An event to show.

    Attributes:
        event: its number in the file.
        reason: why it was chosen.
    """

    event: int
    reason: str


def choose_events(
    evaluation: Evaluation,
    n_random: int,
    n_worst: int,
    seed: int,
    failures: Mapping[str, Sequence[Failure]] | None = None,
) -> list[ChosenEvent]:
    """Choose random events and the worst ones; an event with several reasons is chosen once and tells them all.

    The worst have the lowest ARI: ``n_worst`` over all classes and one of each class, among events with more than one
    cluster in truth and prediction (where ARI says something, section III.B of Koh et al. 2020). Of every kind of
    failure the event with most voxels that went wrong is chosen too.

    Args:
        evaluation: the rows to choose from.
        n_random: number of random events.
        n_worst: number of the worst events over all classes.
        seed: of the random choice.
        failures: kind of failure -> where it happened, the worst first.
    """
    events = np.unique(evaluation.rows["event"])
    drawn = np.sort(np.random.default_rng(seed).permutation(events)[:n_random])
    chosen = [ChosenEvent(event, "random") for event in drawn.tolist()]
    chosen += _worst(evaluation, ALL, "all classes", n_worst)
    for number, name in enumerate(evaluation.classes):
        chosen += _worst(evaluation, number, name, 1)
    for kind, found in (failures or {}).items():
        chosen += [ChosenEvent(one.event, f"{kind}, {one.class_name}: {one.voxels:,} voxels") for one in found[:1]]
    reasons: dict[int, list[str]] = {}
    for item in chosen:
        reasons.setdefault(item.event, []).append(item.reason)
    return [ChosenEvent(event, "; ".join(reason)) for event, reason in reasons.items()]


def event_summary(evaluation: Evaluation, event: int) -> str:
    """Return the metrics of an event over all its classes, in words."""
    row = np.flatnonzero((evaluation.rows["event"] == event) & (evaluation.rows["class"] == ALL))
    if not len(row):
        return ""
    values = {name: column[row[0]] for name, column in evaluation.rows.items()}
    return (
        f"{values['true_instances']} true and {values['pred_instances']} predicted instances, "
        f"purity {values['purity']:.3f}, efficiency {values['efficiency']:.3f}, ARI {values['ari']:.3f}"
    )


def thumbnail_document(reader: HDF5Reader, event: int, classes: list[str]) -> dict:
    """Describe an event for the report's small pictures: energy, instances and embedding, without the classes."""
    products = reader.event(event, [name for name in _PRODUCTS if name in reader.products])
    document = describe_event(products, classes)
    return {**document, "scenes": sorted(document["scenes"], key=lambda scene: scene["space"] == "embedding")}


def _worst(evaluation: Evaluation, number: int, name: str, count: int) -> list[ChosenEvent]:
    rows = evaluation.rows
    candidates = (rows["class"] == number) & with_several(rows)
    events, scores = rows["event"][candidates], rows["ari"][candidates]
    order = np.lexsort((events, scores))[:count]
    return [ChosenEvent(int(events[i]), f"lowest ARI, {name}: {scores[i]:.3f}") for i in order.tolist()]
