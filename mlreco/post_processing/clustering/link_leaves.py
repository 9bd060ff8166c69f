"""Links between points of leaves of a box tree: first the points that may reach the other leaf, then pairs."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.clustering.box_tree import LEAF_SIZE, leaf_distances
from mlreco.post_processing.clustering.disjoint_sets import root, unite_roots

MIXED = -1
"""Stands for a component where points are of several components, or their component is not known."""


@compiled
def link_within(blocks: np.ndarray, leaf: int, parents: np.ndarray, squared_reach: float, squared: np.ndarray) -> bool:
    """Link the points of a leaf and tell whether they are one component.

    A component is followed from its first point, and the search ends as soon as no point is left.

    Args:
        blocks: (L, D, LEAF_SIZE) float64.
        leaf: number of the leaf.
        parents: (N,) int32, written; every point of the leaf is its own root.
        squared_reach: square of the distance up to which points are linked.
        squared: (LEAF_SIZE,) float64 to write on.
    """
    first = leaf * LEAF_SIZE
    count = min(LEAF_SIZE, len(parents) - first)
    centre = np.empty((1, blocks.shape[1]))
    left = (1 << count) - 1
    start = 0
    while left:
        while not left >> start & 1:
            start += 1
        found = 1 << start
        left ^= found
        while found and left:
            slot = 0
            while not found >> slot & 1:
                slot += 1
            for axis in range(blocks.shape[1]):
                centre[0, axis] = blocks[leaf, axis, slot]
            leaf_distances(centre, 0, blocks, leaf, squared)
            reached = _slots_within(squared, squared_reach) & left
            left ^= reached
            found = (found ^ (1 << slot)) | reached
            for other in range(start + 1, count):
                if reached >> other & 1:
                    parents[first + other] = first + start
        if not start and not left:
            return True
    return False


@compiled
def link_between(
    blocks: np.ndarray,
    boxes: tuple[np.ndarray, np.ndarray],
    leaves: tuple[int, int],
    parents: np.ndarray,
    squared_reach: float,
    scratch: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Link the points of one leaf with those of another.

    Args:
        blocks: (L, D, LEAF_SIZE) float64.
        boxes: lows and highs of the nodes, as of ``box_tree.build_tree``.
        leaves: numbers of the leaves.
        parents: (N,) int32, written.
        squared_reach: square of the distance up to which points are linked.
        scratch: (LEAF_SIZE,) float64, (2, LEAF_SIZE) int64 and (2, D) float64 to write on.
    """
    one, other = leaves
    squared, near, box = scratch
    points = len(parents)
    count = _slots_in_reach(blocks, one, points, boxes[0][other], boxes[1][other], squared_reach, squared, near[0])
    if not count:
        return
    _write_box(blocks, one, near[0, :count], box)
    other_count = _slots_in_reach(blocks, other, points, box[0], box[1], squared_reach, squared, near[1])
    component = _common_root(parents, one * LEAF_SIZE, near[0, :count])
    other_component = _common_root(parents, other * LEAF_SIZE, near[1, :other_count])
    one_is_enough = component != MIXED and other_component != MIXED
    if one_is_enough and component == other_component:
        return
    for slot in near[0, :count]:
        point = one * LEAF_SIZE + slot
        if other_component != MIXED and root(parents, point) == root(parents, other_component):
            continue
        for axis in range(blocks.shape[1]):
            box[0, axis] = blocks[one, axis, slot]
        leaf_distances(box, 0, blocks, other, squared)
        if not _slots_within(squared, squared_reach):
            continue
        for other_slot in near[1, :other_count]:
            if squared[other_slot] <= squared_reach:
                unite_roots(parents, root(parents, point), root(parents, other * LEAF_SIZE + other_slot))
                if one_is_enough:
                    return


@compiled
def _common_root(parents: np.ndarray, first: int, slots: np.ndarray) -> int:
    """Return the root of some points of a leaf that begins at ``first``, MIXED if they have several or are none."""
    if not len(slots):
        return MIXED
    common = root(parents, first + slots[0])
    for slot in slots[1:]:
        if root(parents, first + slot) != common:
            return MIXED
    return common


@compiled
def _slots_within(squared: np.ndarray, squared_reach: float) -> int:
    """Return the slots whose squared distance is within reach, a bit each."""
    within = np.int64(0)
    for slot in range(LEAF_SIZE):
        within |= np.int64(squared[slot] <= squared_reach) << slot
    return int(within)


@compiled
def _slots_in_reach(
    blocks: np.ndarray,
    leaf: int,
    points: int,
    lows: np.ndarray,
    highs: np.ndarray,
    squared_reach: float,
    squared: np.ndarray,
    near: np.ndarray,
) -> int:
    """Write the slots of a leaf from which a box is in reach, and return how many they are."""
    for slot in range(LEAF_SIZE):
        squared[slot] = 0.0
    for axis in range(blocks.shape[1]):
        low, high = lows[axis], highs[axis]
        for slot in range(LEAF_SIZE):
            below, above = low - blocks[leaf, axis, slot], blocks[leaf, axis, slot] - high
            gap = below if below > above else above
            gap = gap if gap > 0.0 else 0.0
            squared[slot] += gap * gap
    count = 0
    for slot in range(min(LEAF_SIZE, points - leaf * LEAF_SIZE)):
        near[count] = slot
        count += squared[slot] <= squared_reach
    return count


@compiled
def _write_box(blocks: np.ndarray, leaf: int, slots: np.ndarray, box: np.ndarray) -> None:
    """Write the low and the high ends of the box around some points of a leaf."""
    for axis in range(blocks.shape[1]):
        low, high = np.inf, -np.inf
        for slot in slots:
            value = blocks[leaf, axis, slot]
            low = value if value < low else low
            high = value if value > high else high
        box[0, axis], box[1, axis] = low, high
