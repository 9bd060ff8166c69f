"""The adjusted Rand index (Hubert and Arabie 1985)."""

from __future__ import annotations

import math

import numpy as np

from mlreco.post_processing.contingency import Contingency, contingency


def adjusted_rand_index(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the Rand index corrected for chance, in [-0.5, 1]; NaN without voxels.

    It is 0 as soon as one side has one cluster and the other more, and 1 where both sides are the same partition, a
    single cluster or a single voxel included.

    Args:
        true: (N,) integers.
        predicted: (N,) integers.
    """
    return rand_index_of(contingency(true, predicted))


def rand_index_of(table: Contingency) -> float:
    """Return ``adjusted_rand_index`` from a contingency table."""
    if not table.voxels:
        return math.nan
    return rand_index_of_pairs(
        pairs_within(table.counts), pairs_within(table.true_sizes), pairs_within(table.predicted_sizes), table.voxels
    )


def pairs_within(sizes: np.ndarray) -> int:
    """Return the number of pairs of voxels that share a cluster: ``sum s (s - 1) / 2``."""
    return int((sizes * (sizes - 1) // 2).sum())


def rand_index_of_pairs(shared: int, true_pairs: int, predicted_pairs: int, voxels: int) -> float:
    """Return the index from numbers of pairs that are together on both sides, in truth and in prediction.

    It uses Python's integers, because products of pair counts exceed 64 bits from 80,000 voxels on.
    """
    all_pairs = voxels * (voxels - 1) // 2
    chance = true_pairs * predicted_pairs
    denominator = (true_pairs + predicted_pairs) * all_pairs - 2 * chance
    return 2 * (shared * all_pairs - chance) / denominator if denominator else 1.0
