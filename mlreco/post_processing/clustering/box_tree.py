"""A tree of bounding boxes over points of any dimension, to find the points near a place without scanning all.

Points in Morton order are cut into leaves of ``LEAF_SIZE``; ``FAN_OUT`` neighbouring nodes have one parent. A box is
the exact minimum and maximum of its points, so decisions about boxes are exact; the order of the points affects only
the speed.

Nodes are numbered level by level, leaves first, root last; each level is filled up to a multiple of ``FAN_OUT`` with
nodes that hold nothing and lie infinitely far away, so that loops over children have a fixed length.
"""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled

LEAF_SIZE = 32
FAN_OUT = 4
NO_CHILD = -1


@compiled
def take_blocks(points: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return points in another order, cut into leaves.

    Args:
        points: (N, D) float32 or float64, N > 0.
        order: (N,) row numbers.

    Returns:
        (L, D, LEAF_SIZE) float64; the last leaf is filled up with its last point.
    """
    n, dimensions = points.shape
    leaves = (n + LEAF_SIZE - 1) // LEAF_SIZE
    blocks = np.empty((leaves, dimensions, LEAF_SIZE))
    for leaf in range(leaves):
        for slot in range(LEAF_SIZE):
            row = order[min(leaf * LEAF_SIZE + slot, n - 1)]
            for axis in range(dimensions):
                blocks[leaf, axis, slot] = points[row, axis]
    return blocks


@compiled(fastmath={"nnan", "nsz"})
def build_tree(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Build the tree over the leaves.

    Args:
        blocks: (L, D, LEAF_SIZE) float64, L > 0.

    Returns:
        lows (nodes, D) and highs (nodes, D): the boxes; first_child (nodes,) int64: the first of the FAN_OUT children
        of a node, NO_CHILD for a leaf.
    """
    leaves, dimensions, _ = blocks.shape
    nodes, width = 0, leaves
    while width > 1:
        nodes += (width + FAN_OUT - 1) // FAN_OUT * FAN_OUT
        width = (width + FAN_OUT - 1) // FAN_OUT
    nodes += 1
    lows = np.full((nodes, dimensions), np.inf)
    highs = np.full((nodes, dimensions), -np.inf)
    first_child = np.full(nodes, NO_CHILD, np.int64)
    for leaf in range(leaves):
        for axis in range(dimensions):
            low, high = np.inf, -np.inf
            for slot in range(LEAF_SIZE):
                value = blocks[leaf, axis, slot]
                low = value if value < low else low
                high = value if value > high else high
            lows[leaf, axis], highs[leaf, axis] = low, high
    start, width = 0, leaves
    while width > 1:
        above = start + (width + FAN_OUT - 1) // FAN_OUT * FAN_OUT
        width = (width + FAN_OUT - 1) // FAN_OUT
        for node in range(above, above + width):
            first_child[node] = start + (node - above) * FAN_OUT
            for child in range(first_child[node], first_child[node] + FAN_OUT):
                for axis in range(dimensions):
                    lows[node, axis] = min(lows[node, axis], lows[child, axis])
                    highs[node, axis] = max(highs[node, axis], highs[child, axis])
        start = above
    return lows, highs, first_child


@compiled(inline="always")
def _axis_distances(low: float, high: float, middle: float) -> tuple[float, float]:
    """Return the squared distances to both ends of an interval; not by ``max``, for which numba also checks for NaN."""
    below, above = low - middle, middle - high
    gap = below if below > above else above
    reach = below if below < above else above
    gap = gap if gap > 0.0 else 0.0
    return gap * gap, reach * reach


@compiled(inline="always")
def box_distances(
    centres: np.ndarray, number: int, lows: np.ndarray, highs: np.ndarray, node: int
) -> tuple[float, float]:
    """Return the squared distances from a centre to the nearest and to the farthest place of a box.

    Subtraction, product and sum round monotonically and are made in the same order as in ``leaf_distances``, so these
    are bounds of the *rounded* squared distances to all points in the box.

    Args:
        centres: (K, D) float64.
        number: row of the centre.
        lows: (nodes, D) float64.
        highs: (nodes, D) float64.
        node: row of the box.
    """
    near, far = 0.0, 0.0
    if centres.shape[1] == 3:
        near_x, far_x = _axis_distances(lows[node, 0], highs[node, 0], centres[number, 0])
        near_y, far_y = _axis_distances(lows[node, 1], highs[node, 1], centres[number, 1])
        near_z, far_z = _axis_distances(lows[node, 2], highs[node, 2], centres[number, 2])
        near, far = near_x + near_y + near_z, far_x + far_y + far_z
    else:
        for axis in range(centres.shape[1]):
            near_axis, far_axis = _axis_distances(lows[node, axis], highs[node, axis], centres[number, axis])
            near += near_axis
            far += far_axis
    return near, far


@compiled
def leaf_distances(centres: np.ndarray, number: int, blocks: np.ndarray, leaf: int, squared: np.ndarray) -> None:
    """Write the squared distances from a centre to the points of a leaf, summed axis after axis.

    The loops for three axes, and for six of space and embedding, are unrolled by hand: the compiler then vectorises
    over points, three times as fast as axis after axis.

    Args:
        centres: (K, D) float64.
        number: row of the centre.
        blocks: (L, D, LEAF_SIZE) float64.
        leaf: number of the leaf.
        squared: (LEAF_SIZE,) float64, written.
    """
    if centres.shape[1] == 3:
        x, y, z = centres[number, 0], centres[number, 1], centres[number, 2]
        for slot in range(LEAF_SIZE):
            dx, dy, dz = blocks[leaf, 0, slot] - x, blocks[leaf, 1, slot] - y, blocks[leaf, 2, slot] - z
            squared[slot] = dx * dx + dy * dy + dz * dz
        return
    if centres.shape[1] == 6:
        x, y, z = centres[number, 0], centres[number, 1], centres[number, 2]
        u, v, w = centres[number, 3], centres[number, 4], centres[number, 5]
        for slot in range(LEAF_SIZE):
            dx, dy, dz = blocks[leaf, 0, slot] - x, blocks[leaf, 1, slot] - y, blocks[leaf, 2, slot] - z
            du, dv, dw = blocks[leaf, 3, slot] - u, blocks[leaf, 4, slot] - v, blocks[leaf, 5, slot] - w
            squared[slot] = dx * dx + dy * dy + dz * dz + du * du + dv * dv + dw * dw
        return
    for slot in range(LEAF_SIZE):
        squared[slot] = 0.0
    for axis in range(centres.shape[1]):
        for slot in range(LEAF_SIZE):
            difference = blocks[leaf, axis, slot] - centres[number, axis]
            squared[slot] += difference * difference
