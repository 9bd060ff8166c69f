"""Centroid, principal axes and spread of particles."""

from __future__ import annotations

import numpy as np


def means(values: np.ndarray, owners: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the means of (N, D) values over groups, (K, D).

    Args:
        values: (N, D) numbers.
        owners: (N,) number of the group of each.
        counts: (K,) sizes of the groups.
    """
    columns = [np.bincount(owners, column, len(counts)) for column in values.T]
    return np.stack(columns, axis=1) / counts[:, None]


def principal_axes(
    positions: np.ndarray, owners: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where groups of points are and along which axes they spread.

    Args:
        positions: (N, 3) points.
        owners: (N,) number of the group of each.
        counts: (K,) points of each group.

    Returns:
        (K, 3) centroids; (K, 3) unit vectors along which the points spread most, whose largest component is positive,
        (0, 0, 1) where all points of a group are in one place; (K, 3) standard deviations along the principal axes,
        largest first.
    """
    centroids, variances, axes = _moments(positions, owners, np.ones(len(positions)), len(counts))
    axis = axes[:, :, -1]
    largest = np.take_along_axis(axis, np.abs(axis).argmax(1)[:, None], 1)
    return centroids, np.where(largest < 0, -axis, axis), np.sqrt(np.maximum(variances[:, ::-1], 0))


def weighted_main_axes(positions: np.ndarray, owners: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Return the unit vector along which the weight of each group spreads most, (K, 3), of any sign.

    Args:
        positions: (N, 3) points.
        owners: (N,) number of the group of each.
        weights: (N,) positive numbers.
        count: number of groups.
    """
    return _moments(positions, owners, weights, count)[2][:, :, -1]


def _moments(
    positions: np.ndarray, owners: np.ndarray, weights: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weighted centres (K, 3), variances along the principal axes, ascending (K, 3), and the axes (K, 3, 3)."""
    totals = np.bincount(owners, weights, count)
    sums = np.stack([np.bincount(owners, weights * column, count) for column in positions.T], axis=1)
    centres = sums / totals[:, None]
    offsets = (positions - centres[owners]).T
    products = np.empty((count, 3, 3))
    for i in range(3):
        for j in range(i + 1):
            products[:, i, j] = products[:, j, i] = np.bincount(owners, weights * offsets[i] * offsets[j], count)
    variances, axes = np.linalg.eigh(products / totals[:, None, None])
    return centres, variances, axes
