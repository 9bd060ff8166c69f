"""Failures of the reconstruction, of the kinds of Koh et al. 2020, section IV.B, found in contingency tables.

The paper shows examples of each kind and gives no rule; these are ours. A table holds voxel counts only; it does not
tell whether merged tracks are co-linear, or a deposit is of low energy. Each kind is measured in voxels that went
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlreco.post_processing.contingency import Contingency
from mlreco.post_processing.evaluation.tables import EventTable
from mlreco.post_processing.evaluation.text_table import aligned

FEW_VOXELS = 50
"""A true instance with fewer is a fragment such as the overlap of a muon and its Michel electron."""
PIECE = 0.1
"""A fragment with at least this share of an instance is a piece of it, one with less a detached deposit."""
MOST = 0.5
"""A cluster lies mostly in another, or consists mostly of it, where its share is above this."""


def lost_fragments(table: Contingency) -> int:
    """Return the voxels of small true instances whose best predicted cluster is mostly another instance."""
    of_predicted = table.counts / table.predicted_sizes[table.predicted_index]
    best = table.best_for_true(table.counts)
    own = (table.counts == best[table.true_index]) & (of_predicted > MOST)
    found = np.bincount(table.true_index[own], minlength=len(best)) > 0
    return int(table.true_sizes[~found & (table.true_sizes < FEW_VOXELS)].sum())


def broken(table: Contingency) -> int:
    """Return the voxels in pieces of true instances other than the largest piece; small instances do not count."""
    sizes = table.true_sizes[table.true_index]
    pieces = np.where((table.counts >= PIECE * sizes) & (sizes >= FEW_VOXELS), table.counts, 0)
    return int(pieces.sum() - table.best_for_true(pieces).sum())


def merged(table: Contingency) -> int:
    """Return the voxels of true instances that lie mostly in a predicted cluster with a larger such instance."""
    sizes = table.true_sizes[table.true_index]
    inside = np.where((table.counts > MOST * sizes) & (sizes >= FEW_VOXELS), table.counts, 0)
    return int(inside.sum() - table.best_for_predicted(inside).sum())


def detached(table: Contingency) -> int:
    """Return the voxels in predicted clusters that are mostly, but only a small share of, one true instance.

    Only instances that lie mostly in one cluster count.
    """
    sizes = table.true_sizes[table.true_index]
    has_core = (table.best_for_true(table.counts) > MOST * table.true_sizes)[table.true_index]
    apart = (table.counts < PIECE * sizes) & (table.counts > MOST * table.predicted_sizes[table.predicted_index])
    return int(table.counts[has_core & apart].sum())


@dataclass(frozen=True)
class FailureKind:
    """A kind of failure.

    Attributes:
        name: what it is called.
        classes: names of the classes that it concerns; none: all.
        measure: function of a contingency table; returns the voxels that went wrong.
    """

    name: str
    classes: tuple[str, ...]
    measure: Callable[[Contingency], int]


TRACKS = ("HIP", "MIP", "Track")
SHOWERS = ("Shower",)
KINDS = (
    FailureKind("lost fragments", (), lost_fragments),
    FailureKind("broken tracks", TRACKS, broken),
    FailureKind("merged tracks", TRACKS, merged),
    FailureKind("merged showers", SHOWERS, merged),
    FailureKind("detached deposits", SHOWERS, detached),
)


@dataclass(frozen=True)
class Failure:
    """An event and class in which something went wrong.

    Attributes:
        event: number of the event.
        class_name: the class.
        voxels: voxels that went wrong.
        share: these as a share of the voxels of the class.
    """

    event: int
    class_name: str
    voxels: int
    share: float


def find_failures(tables: Iterable[EventTable], classes: Sequence[str]) -> dict[str, list[Failure]]:
    """Return every failure of each kind, the largest first; of equal ones the earlier event, then the lower class.

    Args:
        tables: of all events and classes.
        classes: names of the class numbers.
    """
    found: dict[str, list[Failure]] = {kind.name: [] for kind in KINDS}
    for one in tables:
        class_name = classes[one.number]
        for kind in KINDS:
            if not kind.classes or class_name in kind.classes:
                voxels = kind.measure(one.table)
                if voxels:
                    failure = Failure(one.event, class_name, voxels, voxels / one.table.voxels)
                    found[kind.name].append(failure)
    return {name: sorted(failures, key=lambda one: -one.voxels) for name, failures in found.items()}


def failures_table(failures: Mapping[str, Sequence[Failure]], worst: int) -> str:
    """Return the worst events of each kind as text."""
    names, cells = [["kind", "class"]], [["event", "voxels", "% of class"]]
    counts = []
    for kind, found in failures.items():
        counts.append(f"{kind} in {len(found)}")
        for place, one in enumerate(found[:worst]):
            names.append(["" if place else kind, one.class_name])
            cells.append([str(one.event), str(one.voxels), f"{100 * one.share:.1f}"])
    title = f"failures (an event and class each: {', '.join(counts)}); the worst by voxels that went wrong"
    return "\n".join([title, *(aligned(names, cells) if len(names) > 1 else [])])
