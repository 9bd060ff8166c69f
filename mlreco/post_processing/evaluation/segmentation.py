"""Evaluation of the segmentation of an output file: which true classes the voxels of each predicted class have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlreco.post_processing.evaluation.evaluate import EventReader
from mlreco.post_processing.evaluation.text_table import aligned, decimal
from mlreco.post_processing.predicted import IN_TRUE_CLASSES, is_in_true_classes, predicted_classes
from mlreco.yaml_reader import read_yaml

TRUE, PREDICTED, CORRECTED = "semantics_true", "semantics_predicted", "semantics"


@dataclass(frozen=True)
class SegmentationEvaluation:
    """Voxels by true and predicted class.

    Attributes:
        classes: names of the classes, by number.
        confusion: (C, C) int64 number of voxels; row = true class, column = predicted class.
        unknown: voxels without a true class, which are not in ``confusion``.
        name: which classes these are: ``segmentation``, or ``corrected classes`` after the graph network.
    """

    classes: tuple[str, ...]
    confusion: np.ndarray
    unknown: int
    name: str = "segmentation"

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
        title = f"{self.name}: {decimal(self.accuracy)} of {self.confusion.sum()} voxels are right{unknown}"
        return "\n".join([title, *aligned(names, cells)])


def evaluate_segmentation(reader: EventReader, events: Iterable[int] | None = None) -> SegmentationEvaluation | None:
    """Compare predicted with true classes voxel by voxel; None where the file lacks either.

    Args:
        reader: an output file.
        events: numbers of the events; all if None.
    """
    return _evaluated(reader, PREDICTED, events, "segmentation")


def evaluate_corrected(reader: EventReader, events: Iterable[int] | None = None) -> SegmentationEvaluation | None:
    """Compare the classes that the graph network corrected with the true ones; None where it corrected none.

    It corrects none in events whose fragments were made in true classes: those are left out.

    Args:
        reader: an output file.
        events: numbers of the events; all if None.
    """
    if predicted_classes(reader.products) != CORRECTED:
        return None
    chosen = _in_predicted_classes(reader, range(len(reader)) if events is None else events)
    return _evaluated(reader, CORRECTED, chosen, "corrected classes") if chosen else None


def _evaluated(
    reader: EventReader, product: str, events: Iterable[int] | None, name: str
) -> SegmentationEvaluation | None:
    if TRUE not in reader.products or product not in reader.products:
        return None
    classes = tuple(str(name) for name in reader.info["classes"])
    confusion, unknown = np.zeros((len(classes), len(classes)), np.int64), 0
    for index in range(len(reader)) if events is None else events:
        event = reader.event(index, (TRUE, product))
        counted = confusion_matrix(event[TRUE], event[product], len(classes))
        confusion += counted
        unknown += len(event[TRUE]) - int(counted.sum())
    return SegmentationEvaluation(classes, confusion, unknown, name)


def _in_predicted_classes(reader: EventReader, events: Iterable[int]) -> list[int]:
    """Return which of the events were clustered in predicted classes."""
    if IN_TRUE_CLASSES in reader.products:
        return [index for index in events if not is_in_true_classes(reader.event(index, (IN_TRUE_CLASSES,)))]
    config = read_yaml(reader.info.get("cfg") or "", "the configuration of the file") or {}
    modules = (config.get("model") or {}).get("modules") or {}
    in_true = any(isinstance(one, Mapping) and one.get("semantics") in (True, "true") for one in modules.values())
    return [] if in_true else list(events)  # files of earlier versions do not mark their events


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
