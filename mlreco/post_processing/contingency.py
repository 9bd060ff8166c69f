"""The sparse contingency table of two labellings, from which every clustering metric is computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.errors import UserError


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
    true_labels, true_number, true_sizes = np.unique(true, return_inverse=True, return_counts=True)
    predicted_labels, predicted_number, predicted_sizes = np.unique(predicted, return_inverse=True, return_counts=True)
    keys = true_number.astype(np.int64) * len(predicted_labels) + predicted_number
    pairs, counts = np.unique(keys, return_counts=True)
    true_index, predicted_index = np.divmod(pairs, max(len(predicted_labels), 1))
    return Contingency(
        true_index,
        predicted_index,
        counts.astype(np.int64),
        true_sizes.astype(np.int64),
        predicted_sizes.astype(np.int64),
        true_labels,
        predicted_labels,
    )


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
