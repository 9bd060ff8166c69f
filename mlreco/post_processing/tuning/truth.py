"""True instances that many predictions are compared with: sorted once, each table then costs one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.contingency import Contingency


@dataclass(frozen=True)
class Truth:
    """Voxels that count, grouped by true instance.

    Attributes:
        rows: (M,) int64 rows of the voxels that count, those of an instance together.
        starts: (n + 1,) int64: instance ``i`` has ``rows[starts[i]:starts[i + 1]]``.
        labels: (n,) label of each instance, ascending.
    """

    rows: np.ndarray
    starts: np.ndarray
    labels: np.ndarray

    @classmethod
    def build(cls, instances: np.ndarray, min_voxels: int) -> Truth:
        """Group voxels by true instance.

        Args:
            instances: (N,) integers; -1 for voxels without one, which do not count.
            min_voxels: instances with fewer voxels do not count.
        """
        labels, number, sizes = np.unique(instances, return_inverse=True, return_counts=True)
        kept = (labels >= 0) & (sizes >= min_voxels)
        order = np.argsort(number, kind="stable")
        return cls(order[kept[number[order]]], np.concatenate([[0], np.cumsum(sizes[kept])]), labels[kept])

    def __len__(self) -> int:
        return len(self.labels)

    def table(self, predicted: np.ndarray, n_predicted: int) -> Contingency:
        """Return what ``contingency`` returns for the voxels that count.

        Args:
            predicted: (N,) int32 predicted cluster of every voxel, from 0.
            n_predicted: a number that all of them are below.
        """
        true_index, predicted_index, counts, sizes = _count_pairs(predicted, self.rows, self.starts, n_predicted)
        present = np.flatnonzero(sizes)
        position = np.cumsum(sizes > 0) - 1
        return Contingency(
            true_index, position[predicted_index], counts, np.diff(self.starts), sizes[present], self.labels, present
        )


@compiled
def _count_pairs(
    predicted: np.ndarray, rows: np.ndarray, starts: np.ndarray, n_predicted: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return true cluster, predicted cluster and voxels of each pair, and the (n_predicted,) voxels of each cluster."""
    true_index = np.empty(len(rows), np.int64)
    predicted_index = np.empty(len(rows), np.int64)
    counts = np.empty(len(rows), np.int64)
    sizes = np.zeros(n_predicted, np.int64)
    shared = np.zeros(n_predicted, np.int64)
    end = 0
    for instance in range(len(starts) - 1):
        first = end
        for place in range(starts[instance], starts[instance + 1]):
            cluster = predicted[rows[place]]
            if shared[cluster] == 0:
                predicted_index[end] = cluster
                end += 1
            shared[cluster] += 1
        predicted_index[first:end].sort()
        for pair in range(first, end):
            cluster = predicted_index[pair]
            true_index[pair] = instance
            counts[pair] = shared[cluster]
            sizes[cluster] += shared[cluster]
            shared[cluster] = 0
    return true_index[:end].copy(), predicted_index[:end].copy(), counts[:end].copy(), sizes
