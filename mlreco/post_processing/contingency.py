"""The sparse contingency table of two labellings, from which every clustering metric is computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.errors import UserError

SPARSE = 4
"""Labels spread over more than so many times their number are sorted, others counted."""


@dataclass(frozen=True)
class Contingency:
    """How many voxels each pair of a true and a predicted cluster shares; pairs that share none are not stored.

    Clusters are numbered 0 to n - 1 (true) and 0 to m - 1 (predicted) in the order of their labels.

    Attributes:
        true_index: (P,) int64, true cluster of each pair, ascending.
        predicted_index: (P,) int64, predicted cluster of each pair, ascending within a true cluster.
        counts: (P,) int64, number of shared voxels, all positive.
        true_sizes: (n,) int64, voxels of each true cluster.
        predicted_sizes: (m,) int64, voxels of each predicted cluster.
        true_labels: (n,) label of each true cluster.
        predicted_labels: (m,) label of each predicted cluster.
    """

    true_index: np.ndarray
    predicted_index: np.ndarray
    counts: np.ndarray
    true_sizes: np.ndarray
    predicted_sizes: np.ndarray
    true_labels: np.ndarray
    predicted_labels: np.ndarray

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return int(self.true_sizes.sum())

    def best_for_true(self, values: np.ndarray) -> np.ndarray:
        """Return (n,) the largest of (P,) values per pair over the pairs of each true cluster."""
        return _largest(values, self.true_index, len(self.true_sizes))

    def best_for_predicted(self, values: np.ndarray) -> np.ndarray:
        """Return (m,) the largest of (P,) values per pair over the pairs of each predicted cluster."""
        return _largest(values, self.predicted_index, len(self.predicted_sizes))


def _largest(values: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    largest = np.zeros(n_groups, values.dtype)
    np.maximum.at(largest, groups, values)
    return largest


def contingency(true: np.ndarray, predicted: np.ndarray) -> Contingency:
    """Count the pairs of labels, in memory and time of order N log N whatever the numbers of clusters.

    Args:
        true: (N,) integers, any values; each distinct value is a cluster, -1 like all others.
        predicted: (N,) integers, likewise.

    Raises:
        UserError: the arrays are not one-dimensional or differ in length.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 1 or true.shape != predicted.shape:
        raise UserError(f"labels of shape {true.shape} and {predicted.shape} cannot be compared; both must be (N,)")
    true_labels, true_number, true_sizes = distinct(true)
    predicted_labels, predicted_number, predicted_sizes = distinct(predicted)
    pairs, _, counts = distinct(true_number * len(predicted_labels) + predicted_number)
    true_index, predicted_index = np.divmod(pairs, max(len(predicted_labels), 1))
    return Contingency(
        true_index,
        predicted_index,
        counts,
        true_sizes,
        predicted_sizes,
        true_labels,
        predicted_labels,
    )


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct values in ascending order, the place of each value among them, and how often each occurs.

    Args:
        values: (N,) integers.

    Returns:
        (n,) of the type given, (N,) int64 and (n,) int64, as `numpy.unique` does, but faster where values are dense.
    """
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    if high - low > SPARSE * len(values) or high > np.iinfo(np.int64).max:
        labels, places, counts = np.unique(values, return_inverse=True, return_counts=True)
        return labels, places.astype(np.int64), counts.astype(np.int64)
    labels, places, counts = _counted(values.astype(np.int64), low, high)
    return labels.astype(values.dtype), places, counts


@compiled
def _counted(values: np.ndarray, low: int, high: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `distinct` does of (N,) int64 numbers from low to high."""
    counts = np.zeros(high - low + 1, np.int64)
    for value in values:
        counts[value - low] += 1
    labels = np.flatnonzero(counts)
    place_of = np.empty(len(counts), np.int64)
    for place in range(len(labels)):
        place_of[labels[place]] = place
    places = np.empty(len(values), np.int64)
    for row in range(len(values)):
        places[row] = place_of[values[row] - low]
    return labels + low, places, counts[labels]


def without_small_instances(true: np.ndarray, predicted: np.ndarray, min_voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the voxels of true instances with fewer than ``min_voxels`` voxels, from truth and prediction alike.

    The 10-voxel rule of Koh et al. 2020, section III.C.

    Args:
        true: (N,) integers.
        predicted: (N,) integers.
        min_voxels: instances of at least so many voxels stay.

    Returns:
        The (M,) true and predicted labels that are left.
    """
    _, number, sizes = np.unique(true, return_inverse=True, return_counts=True)
    kept = sizes[number] >= min_voxels
    return np.asarray(true)[kept], np.asarray(predicted)[kept]
