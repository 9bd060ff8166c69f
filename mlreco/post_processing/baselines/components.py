"""Components of points that are joined where they are near: DBSCAN with one neighbour in a core, in little memory."""

from __future__ import annotations

import math

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.clustering.disjoint_sets import root, unite_roots
from mlreco.post_processing.clustering.numbering import in_order_of_rows

AXIS_BITS = 20
REACH = 2
"""Cells along an axis between two points that may be joined: a cell's edge is eps / sqrt(3), its diagonal eps."""


def joined_components(points: np.ndarray, eps: float) -> np.ndarray:
    """Return the component of each point, where points at most ``eps`` apart are joined.

    Points of one cell of a grid with diagonal eps are joined without computing distances. Two near cells are searched
    until one pair is found, and not at all where they are joined already.

    Args:
        points: (N, 3) numbers, their extent at most 500,000 eps.
        eps: distance, above 0.

    Returns:
        (N,) int64 numbers of the components in the order of their first points, equal to those of
        ``sklearn.cluster.DBSCAN(eps, min_samples=1)``.
    """
    points = np.asarray(points, np.float64)
    if not len(points):
        return np.empty(0, np.int64)
    edge = eps / math.sqrt(3) * (1 - 1e-9)
    cells = np.floor((points - points.min(axis=0)) / edge).astype(np.int64) + REACH
    keys = (((cells[:, 0] << AXIS_BITS) | cells[:, 1]) << AXIS_BITS) | cells[:, 2]
    order = np.argsort(keys, kind="stable")
    names, starts = np.unique(keys[order], return_index=True)
    parents = _join_cells(points[order], names, np.append(starts, len(points)), float(eps))
    cell_of = np.searchsorted(names, keys)
    return in_order_of_rows(parents[cell_of])


@compiled
def _join_cells(points: np.ndarray, names: np.ndarray, starts: np.ndarray, eps: float) -> np.ndarray:
    """Return the (C,) root of each cell."""
    parents = np.arange(len(names))
    for cell in range(len(names)):
        for dx in range(REACH + 1):
            for dy in range(-REACH, REACH + 1):
                low = names[cell] + (((dx << AXIS_BITS) + dy) << AXIS_BITS)
                other = max(np.searchsorted(names, low - REACH), cell + 1)
                while other < len(names) and names[other] <= low + REACH:
                    one, two = root(parents, cell), root(parents, other)
                    if one != two and _touch(points, starts, cell, other, eps):
                        unite_roots(parents, one, two)
                    other += 1
    for cell in range(len(names)):
        parents[cell] = root(parents, cell)
    return parents


@compiled
def _touch(points: np.ndarray, starts: np.ndarray, one: int, two: int, eps: float) -> bool:
    """Tell whether two cells have points at most eps apart."""
    for i in range(starts[one], starts[one + 1]):
        for j in range(starts[two], starts[two + 1]):
            squared = 0.0
            for axis in range(3):
                squared += (points[i, axis] - points[j, axis]) ** 2
            if math.sqrt(squared) <= eps:
                return True
    return False
