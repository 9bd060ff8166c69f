"""Components of points that are linked where they are near, in any dimension: single linkage cut at a distance."""

from __future__ import annotations

import numba
import numpy as np

from mlreco.post_processing.box_tree import (
    FAN_OUT,
    LEAF_SIZE,
    NO_CHILD,
    box_distances,
    build_tree,
    leaf_distances,
    take_blocks,
)
from mlreco.post_processing.morton import morton_order
from mlreco.post_processing.numbering import in_order_of_rows

MIXED = -1
ORDERED_AXES = 3
"""Axes, the widest ones, along which neighbours stand together in the tree: its curve is coarse along many axes."""


def linked_components(points: np.ndarray, reach: float) -> np.ndarray:
    """Return the component of each point, where points at most ``reach`` apart are linked.

    Leaves of a tree are compared with the leaves in reach of their boxes; what is known to be of one component already,
    a leaf or a whole branch, is passed over. So dense surroundings cost less, not more.

    Args:
        points: (N, D) finite floats, any D.
        reach: distance, 0 or more.

    Returns:
        (N,) int64 numbers of the components in the order of their first points, equal to those of
        ``sklearn.cluster.DBSCAN(reach, min_samples=1)``.
    """
    points = np.ascontiguousarray(points, np.float64)
    if not len(points):
        return np.empty(0, np.int64)
    widest = np.argsort(np.ptp(points, axis=0), kind="stable")[::-1][:ORDERED_AXES]
    rows = morton_order(np.ascontiguousarray(points[:, widest]))
    blocks = take_blocks(points, rows)
    roots = np.empty(len(points), np.int64)
    roots[rows] = _link(blocks, build_tree(blocks), len(points), float(reach) ** 2)
    return in_order_of_rows(roots)


@numba.njit(cache=True, nogil=True)
def _link(
    blocks: np.ndarray, tree: tuple[np.ndarray, np.ndarray, np.ndarray], points: int, squared_reach: float
) -> np.ndarray:
    """Return the (N,) root of the point at each position of the tree."""
    lows, highs, first_child = tree
    root = len(first_child) - 1
    parents = np.arange(points)
    last_leaf = np.arange(len(first_child))
    members = np.full(len(first_child), MIXED, np.int64)
    for node in range(len(first_child)):
        if first_child[node] != NO_CHILD:
            last_leaf[node] = last_leaf[first_child[node] + FAN_OUT - 1]
    stack = np.empty(len(first_child), np.int64)
    squared = np.empty(LEAF_SIZE)
    centre = np.empty((1, blocks.shape[1]))
    for leaf in range(len(blocks)):
        _link_leaves(blocks, lows, highs, leaf, leaf, parents, squared_reach, centre, squared, False)
    for leaf in range(len(blocks)):
        _refresh(members, leaf, first_child, parents)
        stack[0], top = root, 1
        while top:
            top -= 1
            node = stack[top]
            _refresh(members, node, first_child, parents)
            one_is_enough = members[leaf] != MIXED and members[node] != MIXED
            if one_is_enough and _root(parents, members[node]) == _root(parents, members[leaf]):
                continue
            if first_child[node] == NO_CHILD:
                _link_leaves(blocks, lows, highs, leaf, node, parents, squared_reach, centre, squared, one_is_enough)
                continue
            for child in range(first_child[node], first_child[node] + FAN_OUT):
                if last_leaf[child] > leaf and _box_gap(lows, highs, leaf, child) <= squared_reach:
                    stack[top] = child
                    top += 1
    for point in range(points):
        parents[point] = _root(parents, point)
    return parents


@numba.njit(cache=True, nogil=True)
def _root(parents: np.ndarray, point: int) -> int:
    while parents[point] != point:
        parents[point] = parents[parents[point]]
        point = parents[point]
    return point


@numba.njit(cache=True, nogil=True)
def _refresh(members: np.ndarray, node: int, first_child: np.ndarray, parents: np.ndarray) -> None:
    """Write a point of a node in ``members`` where its points are known to be of one component by now."""
    if members[node] == MIXED:
        members[node] = _common_member(members, node, first_child, parents)


@numba.njit(cache=True, nogil=True)
def _common_member(members: np.ndarray, node: int, first_child: np.ndarray, parents: np.ndarray) -> int:
    """Return a point of a node whose points are known to be of one component, else MIXED."""
    found = MIXED
    if first_child[node] == NO_CHILD:
        first = node * LEAF_SIZE
        for point in range(first, min(first + LEAF_SIZE, len(parents))):
            if _root(parents, point) != _root(parents, first):
                return MIXED
            found = first
        return found
    for child in range(first_child[node], first_child[node] + FAN_OUT):
        if first_child[child] == NO_CHILD and child * LEAF_SIZE >= len(parents):
            continue
        if members[child] == MIXED:
            return MIXED
        if found == MIXED:
            found = members[child]
        elif _root(parents, members[child]) != _root(parents, found):
            return MIXED
    return found


@numba.njit(cache=True, nogil=True)
def _box_gap(lows: np.ndarray, highs: np.ndarray, one: int, other: int) -> float:
    """Return the squared distance of the nearest places of two boxes, infinite where one of them holds nothing.

    Rounded as ``leaf_distances`` rounds, axis after axis, it is a lower bound of the rounded distances of points.
    """
    total = 0.0
    for axis in range(lows.shape[1]):
        below, above = lows[one, axis] - highs[other, axis], lows[other, axis] - highs[one, axis]
        gap = below if below > above else above
        total += gap * gap if gap > 0.0 else 0.0
    return total


@numba.njit(cache=True, nogil=True)
def _link_leaves(
    blocks: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    one: int,
    other: int,
    parents: np.ndarray,
    squared_reach: float,
    centre: np.ndarray,
    squared: np.ndarray,
    one_is_enough: bool,
) -> None:
    """Link the points of two leaves, or of one with itself; one link is enough where each is of one component."""
    end = min(LEAF_SIZE, len(parents) - other * LEAF_SIZE)
    for position in range(one * LEAF_SIZE, min((one + 1) * LEAF_SIZE, len(parents))):
        for axis in range(blocks.shape[1]):
            centre[0, axis] = blocks[one, axis, position - one * LEAF_SIZE]
        if box_distances(centre, 0, lows, highs, other)[0] > squared_reach:
            continue
        leaf_distances(centre, 0, blocks, other, squared)
        for slot in range(end):
            if squared[slot] <= squared_reach and parents[position] != parents[other * LEAF_SIZE + slot]:
                first, second = _root(parents, position), _root(parents, other * LEAF_SIZE + slot)
                parents[max(first, second)] = min(first, second)
                if one_is_enough:
                    return
