"""Which true instances were found: those that have an intersection over union above 1/2 with a predicted instance.

The metrics of the voxels of one class do not see when an instance takes in another of a different class, as a muon does
with its delta rays. Here all voxels of an event count, whatever their class: the intersection over union of a true and
a predicted instance is above 1/2 for one partner at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlreco.post_processing.contingency import Contingency, contingency
from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, EventReader
from mlreco.post_processing.evaluation.text_table import aligned, decimal
from mlreco.post_processing.predicted import predicted_classes, predicted_instances

TRUE, TRUE_CLASSES, CLUSTERED_IN = "instances_true", "semantics_true", "semantics"


class Shares(NamedTuple):
    """The shares of a class.

    Attributes:
        name: of the class.
        found: share of the true instances that have a partner; NaN without any.
        right: share of the true instances whose partner has the right class.
        true: number of true instances.
        genuine: share of the predicted instances that are a partner.
        predicted: number of predicted instances.
    """

    name: str
    found: float
    right: float
    true: int
    genuine: float
    predicted: int


@dataclass(frozen=True)
class FoundInstances:
    """Numbers of instances by class, (C,) int64 each.

    Attributes:
        classes: names of the classes.
        true: true instances.
        found: those of them that a predicted instance is the partner of.
        right: those whose partner also has the right class.
        predicted: predicted instances.
        matched: those of them that are the partner of a true one.
        min_voxels: instances with fewer voxels are not counted.
    """

    classes: tuple[str, ...]
    true: np.ndarray
    found: np.ndarray
    right: np.ndarray
    predicted: np.ndarray
    matched: np.ndarray
    min_voxels: int

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of every class as JSON can hold them."""
        names = ("true", "found", "right", "predicted", "matched")
        counts = {
            name: {key: int(getattr(self, key)[number]) for key in names} for number, name in enumerate(self.classes)
        }
        return {"classes": counts, "min_voxels": self.min_voxels}

    def shares(self) -> list[Shares]:
        """Return the shares of every class, and of all classes together at the end."""
        members: list[tuple[str, int | slice]] = [*zip(self.classes, range(len(self.classes)), strict=True)]
        rows = []
        for name, member in [*members, ("all", slice(None))]:
            true, found, right, predicted, matched = (
                int(np.sum(values[member]))
                for values in (self.true, self.found, self.right, self.predicted, self.matched)
            )
            rows.append(
                Shares(name, _share(found, true), _share(right, true), true, _share(matched, predicted), predicted)
            )
        return rows

    def table(self) -> str:
        """Return the shares as text."""
        rows = self.shares()
        names = [["class"], *([row.name] for row in rows)]
        cells = [["found", "right class", "true", "genuine", "predicted"]]
        for row in rows:
            numbers = (decimal(row.found), decimal(row.right), str(row.true), decimal(row.genuine), str(row.predicted))
            cells.append([*numbers])
        title = (
            f"instances found: intersection over union above 1/2, all voxels; instances under {self.min_voxels} voxels "
            "left out"
        )
        return "\n".join([title, *aligned(names, cells)])


def evaluate_found(
    reader: EventReader,
    *,
    instances: str | None = None,
    min_voxels: int = MIN_VOXELS,
    events: Iterable[int] | None = None,
) -> FoundInstances | None:
    """Count the true instances that were found; None where the file lacks truth, instances or their classes.

    Args:
        reader: an output file.
        instances: product with the predicted instances; that of :func:`predicted_instances` if None.
        min_voxels: true and predicted instances with fewer voxels are not counted.
        events: numbers of the events; all if None.
    """
    instances, of_voxels = instances or predicted_instances(reader.products), predicted_classes(reader.products)
    of_voxels = of_voxels if of_voxels in reader.products else CLUSTERED_IN
    needed = (TRUE, TRUE_CLASSES, instances, of_voxels)
    if not set(needed) <= set(reader.products):
        return None
    classes = tuple(str(name) for name in reader.info["classes"])
    counts = np.zeros((5, len(classes)), np.int64)
    for index in range(len(reader)) if events is None else events:
        event = reader.event(index, needed)
        arrays = (event[TRUE], event[TRUE_CLASSES], event[instances], event[of_voxels])
        counts += _counts(*arrays, len(classes), min_voxels)
    true, found, right, predicted, matched = counts
    return FoundInstances(classes, true, found, right, predicted, matched, min_voxels)


def _counts(
    true: np.ndarray,
    true_classes: np.ndarray,
    predicted: np.ndarray,
    classes: np.ndarray,
    n_classes: int,
    min_voxels: int,
) -> np.ndarray:
    """Return the (5, C) counts of an event: true, found, right, predicted, matched."""
    known = true >= 0
    table = contingency(true[known], predicted[known])
    of_true = majority_classes(true[known], true_classes[known], n_classes)
    of_predicted = majority_classes(predicted[known], classes[known], n_classes)
    real = (table.predicted_labels >= 0) & (of_predicted >= 0) & (table.predicted_sizes >= min_voxels)
    counted = (of_true >= 0) & (table.true_sizes >= min_voxels)
    partners = partner_pairs(table)
    one, other = table.true_index[partners], table.predicted_index[partners]
    found, matched = one[counted[one]], other[real[other]]
    right = one[counted[one] & (of_true[one] == of_predicted[other])]
    by_class = ((of_true, np.flatnonzero(counted)), (of_true, found), (of_true, right))
    of_instances = ((of_predicted, np.flatnonzero(real)), (of_predicted, matched))
    return np.stack([np.bincount(of[rows], minlength=n_classes) for of, rows in (*by_class, *of_instances)])


def partner_pairs(table: Contingency) -> np.ndarray:
    """Return the (P,) bool, which pairs of a contingency table have an intersection over union above 1/2.

    The predicted cluster -1, of voxels in no instance, is nobody's partner.
    """
    union = table.true_sizes[table.true_index] + table.predicted_sizes[table.predicted_index] - table.counts
    return (2 * table.counts > union) & (table.predicted_labels[table.predicted_index] >= 0)


def majority_classes(instances: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return (n,) the most frequent class of the voxels of each distinct instance, in ascending order of instances.

    Of equally frequent ones the first; -1 where no voxel has a class.

    Args:
        instances: (N,) integers.
        classes: (N,) integers, -1 unknown.
        n_classes: number of classes.
    """
    labels, number = np.unique(instances, return_inverse=True)
    known = (classes >= 0) & (classes < n_classes)
    cells = number[known] * n_classes + classes[known].astype(np.int64)
    votes = np.bincount(cells, minlength=len(labels) * n_classes).reshape(len(labels), n_classes)
    return np.where(votes.any(axis=1), votes.argmax(axis=1), -1)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
