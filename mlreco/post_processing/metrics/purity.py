"""Purity and efficiency of Koh et al. 2020 (equations III.1 and III.2)."""

from __future__ import annotations

import math

import numpy as np

from mlreco.post_processing.contingency import Contingency, contingency


def purity_of_predicted(table: Contingency) -> np.ndarray:
    """Return (m,) for each predicted cluster ``max_i c_ij / |S_j|``: the share of its most common true cluster."""
    return table.best_for_predicted(table.counts) / table.predicted_sizes


def efficiency_of_true(table: Contingency) -> np.ndarray:
    """Return (n,) for each true cluster ``max_j c_ij / |S*_i|``: the share found by one predicted cluster."""
    return table.best_for_true(table.counts) / table.true_sizes


def purity(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean purity over predicted clusters, in (0, 1]; NaN without voxels.

    Args:
        true: (N,) integers.
        predicted: (N,) integers.
    """
    return mean_purity(contingency(true, predicted))


def efficiency(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean efficiency over true clusters, in (0, 1]; NaN without voxels.

    Args:
        true: (N,) integers.
        predicted: (N,) integers.
    """
    return mean_efficiency(contingency(true, predicted))


def mean_purity(table: Contingency) -> float:
    """Return ``purity`` from a contingency table."""
    return float(purity_of_predicted(table).mean()) if table.voxels else math.nan


def mean_efficiency(table: Contingency) -> float:
    """Return ``efficiency`` from a contingency table."""
    return float(efficiency_of_true(table).mean()) if table.voxels else math.nan
