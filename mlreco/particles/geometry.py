"""Centroid, principal axes and spread of particles."""

from __future__ import annotations

import numpy as np

SPATIAL = 3


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
    count = len(counts)
    centroids = means(positions, owners, counts)
    offsets = positions - centroids[owners]
    products = (offsets[:, :, None] * offsets[:, None, :]).reshape(-1, SPATIAL * SPATIAL)
    variances, axes = np.linalg.eigh(means(products, owners, counts).reshape(count, SPATIAL, SPATIAL))
    axis = axes[:, :, -1]
    largest = np.take_along_axis(axis, np.abs(axis).argmax(1)[:, None], 1)
    return centroids, np.where(largest < 0, -axis, axis), np.sqrt(np.maximum(variances[:, ::-1], 0))
