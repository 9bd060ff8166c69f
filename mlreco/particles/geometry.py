"""Centroid, principal axes and spread of particles."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled


def means(values: np.ndarray, owners: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the means of (N, D) values over groups, (K, D).

    Args:
        values: (N, D) numbers.
        owners: (N,) number of the group of each.
        counts: (K,) sizes of the groups.
    """
    return _sums(values, owners, len(counts)) / counts[:, None]


@compiled
def _sums(values: np.ndarray, owners: np.ndarray, count: int) -> np.ndarray:
    """Return the float64 sums of (N, D) values over groups, (K, D)."""
    sums = np.zeros((count, values.shape[1]))
    for row in range(len(values)):
        for column in range(values.shape[1]):
            sums[owners[row], column] += values[row, column]
    return sums


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
    centres, matrices = _covariances(positions, owners, weights, count)
    variances, axes = np.linalg.eigh(matrices)
    return centres, variances, axes


@compiled
def _covariances(
    positions: np.ndarray, owners: np.ndarray, weights: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted centres (K, 3) and covariances (K, 3, 3)."""
    totals, centres, products = np.zeros(count), np.zeros((count, 3)), np.zeros((count, 3, 3))
    for row in range(len(positions)):
        totals[owners[row]] += weights[row]
        for i in range(3):
            centres[owners[row], i] += weights[row] * positions[row, i]
    for group in range(count):
        for i in range(3):
            centres[group, i] /= totals[group]
    offset = np.empty(3)
    for row in range(len(positions)):
        group = owners[row]
        for i in range(3):
            offset[i] = positions[row, i] - centres[group, i]
        for i in range(3):
            for j in range(i + 1):
                products[group, i, j] += weights[row] * offset[i] * offset[j]
    for group in range(count):
        for i in range(3):
            for j in range(i + 1):
                products[group, i, j] /= totals[group]
                products[group, j, i] = products[group, i, j]
    return centres, products
