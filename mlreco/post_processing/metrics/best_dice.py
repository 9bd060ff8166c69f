"""The symmetric best dice of leaf segmentation (Scharr et al. 2016)."""

from __future__ import annotations

import math

import numpy as np

from mlreco.post_processing.contingency import Contingency, contingency


def symmetric_best_dice(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the smaller of the two best dices, in (0, 1]; NaN without voxels.

    The best dice of one side is the mean over its clusters of the best dice ``2 |a & b| / (|a| + |b|)`` with a cluster
    of the other side.

    Args:
        true: (N,) integers.
        predicted: (N,) integers.
    """
    return best_dice_of(contingency(true, predicted))


def best_dice_of(table: Contingency) -> float:
    """Return ``symmetric_best_dice`` from a contingency table."""
    if not table.voxels:
        return math.nan
    sizes = table.true_sizes[table.true_index] + table.predicted_sizes[table.predicted_index]
    dice = 2 * table.counts / sizes
    return float(min(table.best_for_true(dice).mean(), table.best_for_predicted(dice).mean()))
