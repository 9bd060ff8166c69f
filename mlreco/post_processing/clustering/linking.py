"""Components of points that are linked up to a distance, in any dimension: single linkage, cut at that distance."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.clustering.box_tree import FAN_OUT, LEAF_SIZE, NO_CHILD, build_tree, take_blocks
from mlreco.post_processing.clustering.disjoint_sets import root
from mlreco.post_processing.clustering.link_leaves import MIXED, link_between, link_within
from mlreco.post_processing.clustering.morton import extent, morton_order
from mlreco.post_processing.clustering.numbering import in_order_of_rows

MOST_LEVELS = 32
"""More than a tree of any number of points has."""

ORDERED_AXES = 3
"""Number of axes, the widest ones, by which the tree is sorted: along more axes its Morton curve is too coarse."""


def linked_components(points: np.ndarray, reach: float) -> np.ndarray:
    """Return the component of each point, where points at most ``reach`` apart are linked.

    Branches of a tree are compared with those in reach of their boxes, from the leaves up. Leaves and branches that are
    known to be of one component are skipped, so dense regions take less time, not more.

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
    spans = [high - low for low, high in (extent(values) for values in points.T)]
    widest = np.argsort(spans, kind="stable")[::-1][:ORDERED_AXES]
    rows = morton_order(np.ascontiguousarray(points[:, widest]))
    blocks = take_blocks(points, rows)
    roots = np.empty(len(points), np.int64)
    roots[rows] = _link(blocks, build_tree(blocks), len(points), float(reach) ** 2)
    return in_order_of_rows(roots)


@compiled
def _link(
    blocks: np.ndarray, tree: tuple[np.ndarray, np.ndarray, np.ndarray], points: int, squared_reach: float
) -> np.ndarray:
    """Return the (N,) root of the point at each position of the tree.

    All points below a node are linked before the node is compared with its neighbours; by then most near points are
    known to be of one component.
    """
    lows, highs, first_child = tree
    parents = np.arange(points).astype(np.int32)
    members = np.full(len(first_child), MIXED, np.int64)
    pairs = np.empty((FAN_OUT**2 * MOST_LEVELS, 2), np.int64)
    scratch = np.empty(LEAF_SIZE), np.empty((2, LEAF_SIZE), np.int64), np.empty((2, blocks.shape[1]))
    for leaf in range(len(blocks)):
        if link_within(blocks, leaf, parents, squared_reach, scratch[0]):
            members[leaf] = leaf * LEAF_SIZE
    for node in range(len(first_child)):
        begin, count = first_child[node], 0
        if begin == NO_CHILD:
            continue
        for child in range(begin, begin + FAN_OUT):
            if members[child] == MIXED:
                members[child] = _common_member(members, child, first_child, parents)
            for other in range(begin, child):
                if _box_gap(lows, highs, other, child) <= squared_reach:
                    pairs[count] = other, child
                    count += 1
        _link_pairs(blocks, tree, members, parents, squared_reach, pairs, count, scratch)
    for point in range(points):
        parents[point] = root(parents, point)
    return parents


@compiled
def _link_pairs(
    blocks: np.ndarray,
    tree: tuple[np.ndarray, np.ndarray, np.ndarray],
    members: np.ndarray,
    parents: np.ndarray,
    squared_reach: float,
    pairs: np.ndarray,
    count: int,
    scratch: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Link the points below the nodes of each of the first ``count`` pairs; ``pairs`` is used as the stack."""
    lows, highs, first_child = tree
    while count:
        count -= 1
        one, other = pairs[count]
        both_known = members[one] != MIXED and members[other] != MIXED
        if both_known and root(parents, members[one]) == root(parents, members[other]):
            continue
        if first_child[one] == NO_CHILD:
            link_between(blocks, (lows, highs), (one, other), parents, squared_reach, scratch)
            continue
        for child in range(first_child[one], first_child[one] + FAN_OUT):
            if _box_gap(lows, highs, child, other) <= squared_reach:
                for other_child in range(first_child[other], first_child[other] + FAN_OUT):
                    if _box_gap(lows, highs, child, other_child) <= squared_reach:
                        pairs[count] = child, other_child
                        count += 1


@compiled
def _common_member(members: np.ndarray, node: int, first_child: np.ndarray, parents: np.ndarray) -> int:
    """Return a point of a node whose points are known to be of one component, else MIXED."""
    found = MIXED
    if first_child[node] == NO_CHILD:
        first = node * LEAF_SIZE
        for point in range(first, min(first + LEAF_SIZE, len(parents))):
            if root(parents, point) != root(parents, first):
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
        elif root(parents, members[child]) != root(parents, found):
            return MIXED
    return found


@compiled
def _box_gap(lows: np.ndarray, highs: np.ndarray, one: int, other: int) -> float:
    """Return the squared distance of the nearest places of two boxes, infinite where one of them holds nothing.

    It is computed axis after axis like ``leaf_distances``, so it is a lower bound of the rounded distances of points.
    """
    total = 0.0
    for axis in range(lows.shape[1]):
        below, above = lows[one, axis] - highs[other, axis], lows[other, axis] - highs[one, axis]
        gap = below if below > above else above
        total += gap * gap if gap > 0.0 else 0.0
    return total
