"""Evaluation of the segmentation of an output file: which true classes the voxels of each predicted class have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlreco.post_processing.evaluation.evaluate import EventReader
from mlreco.post_processing.evaluation.text_table import aligned, decimal

TRUE, PREDICTED = "semantics_true", "semantics_predicted"


@dataclass(frozen=True)
class SegmentationEvaluation:
    """Voxels by true and predicted class.

    Attributes:
        classes: names of the classes, by number.
        confusion: (C, C) int64 number of voxels; row = true class, column = predicted class.
        unknown: voxels without a true class, which are not in ``confusion``.
    """

    classes: tuple[str, ...]
    confusion: np.ndarray
    unknown: int

    @property
    def accuracy(self) -> float:
        """Share of voxels whose class is right, NaN without voxels."""
        return _share(np.trace(self.confusion), self.confusion.sum())

    def scores(self, number: int) -> dict[str, float]:
        """Return ``precision``, ``recall`` and ``iou`` (intersection over union) of a class, NaN where undefined."""
        right = self.confusion[number, number]
        true, predicted = self.confusion[number].sum(), self.confusion[:, number].sum()
        return {
            "precision": _share(right, predicted),
            "recall": _share(right, true),
            "iou": _share(right, true + predicted - right),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON can hold them; undefined ones are None."""
        scores = {name: self.scores(number) for number, name in enumerate(self.classes)}
        return {
            "accuracy": _or_none(self.accuracy),
            "classes": {name: {key: _or_none(one) for key, one in found.items()} for name, found in scores.items()},
            "confusion": self.confusion.tolist(),
            "unknown": self.unknown,
        }

    def table(self) -> str:
        """Return the scores of the classes and the matrix, in percent of the true class, as text."""
        names = [["class"]]
        cells = [["precision", "recall", "IoU", "voxels", *(f"as {name}, %" for name in self.classes)]]
        for number, name in enumerate(self.classes):
            row = self.confusion[number]
            shares = [_share(100 * count, row.sum()) for count in row.tolist()]
            names.append([name])
            cells.append(
                [
                    *(decimal(value) for value in self.scores(number).values()),
                    str(row.sum()),
                    *(decimal(share, 1) for share in shares),
                ]
            )
        unknown = f"; {self.unknown} voxels without a true class left out" if self.unknown else ""
        title = f"segmentation: {decimal(self.accuracy)} of {self.confusion.sum()} voxels are right{unknown}"
        return "\n".join([title, *aligned(names, cells)])


def evaluate_segmentation(reader: EventReader, events: Iterable[int] | None = None) -> SegmentationEvaluation | None:
    """Compare predicted with true classes voxel by voxel; None where the file lacks either.

    Args:
        reader: an output file.
        events: numbers of the events; all if None.
    """
    if TRUE not in reader.products or PREDICTED not in reader.products:
        return None
    classes = tuple(str(name) for name in reader.info["classes"])
    confusion, unknown = np.zeros((len(classes), len(classes)), np.int64), 0
    for index in range(len(reader)) if events is None else events:
        event = reader.event(index, (TRUE, PREDICTED))
        counted = confusion_matrix(event[TRUE], event[PREDICTED], len(classes))
        confusion += counted
        unknown += len(event[TRUE]) - int(counted.sum())
    return SegmentationEvaluation(classes, confusion, unknown)


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Count voxels by true and predicted class; those without one of the classes are left out.

    Args:
        true: (N,) integers, -1 unknown.
        predicted: (N,) integers, likewise.
        n_classes: number of classes.

    Returns:
        (C, C) int64: row = true class, column = predicted class.
    """
    true, predicted = np.asarray(true).astype(np.int64), np.asarray(predicted).astype(np.int64)
    known = (true >= 0) & (true < n_classes) & (predicted >= 0) & (predicted < n_classes)
    cells = np.bincount(true[known] * n_classes + predicted[known], minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
