"""Disjoint sets of points (union-find): every point has a parent, and the root of a set is its own parent."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled


@compiled
def root(parents: np.ndarray, point: int) -> int:
    """Return the root of a point and halve the path to it, so that the next search is short.

    Args:
        parents: (N,) integers, written.
        point: position of the point.
    """
    while parents[point] != point:
        parents[point] = parents[parents[point]]
        point = parents[point]
    return point


@compiled
def unite_roots(parents: np.ndarray, one: int, other: int) -> None:
    """Make the sets of two roots one, whose root is the smaller, or leave one set as it is."""
    parents[max(one, other)] = min(one, other)
