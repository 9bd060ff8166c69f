"""A balanced tree of bounding boxes over points of any dimension: what lies near a point is found without a scan.

The points are put in the order in which a Morton curve runs through the cells of a grid, so that neighbours in the
order are neighbours in space, and cut into leaves of equal size. The tree is a heap: node ``i`` has the children ``2 i
+ 1`` and ``2 i + 2``. A box is the exact minimum and maximum of its points, hence what is decided on boxes is exact;
the grid only decides how fast.
"""

from __future__ import annotations

import numba
import numpy as np

LEAF_SIZE = 32
MORTON_BITS = 30
RADIX_BITS = 10


@numba.njit(cache=True, nogil=True)
def morton_order(points: np.ndarray) -> np.ndarray:
    """Return the rows of points in the order of a Morton curve through their bounding box.

    Args:
        points: (N, D) float32 or float64, finite.

    Returns:
        (N,) int32 row numbers.
    """
    n, dimensions = points.shape
    used = min(dimensions, MORTON_BITS)
    bits = min(RADIX_BITS, MORTON_BITS // max(used, 1))
    cells = 1 << bits
    spread = np.zeros(cells, np.int64)
    for cell in range(cells):
        for bit in range(bits):
            spread[cell] |= ((cell >> bit) & 1) << (bit * used)
    keys = np.arange(n)
    for axis in range(used):
        low = high = np.float64(points[0, axis])
        for row in range(n):
            value = np.float64(points[row, axis])
            low = value if value < low else low
            high = value if value > high else high
        if high <= low:
            continue
        scale = cells / (high - low)
        for row in range(n):
            cell = min(int((np.float64(points[row, axis]) - low) * scale), cells - 1)
            keys[row] |= spread[cell] << (axis + 32)
    return _radix_order(keys, bits * used)


@numba.njit(cache=True, nogil=True)
def _radix_order(keys: np.ndarray, bits: int) -> np.ndarray:
    """Sort (N,) keys ``code << 32 | row`` by their code of so many bits and return the rows."""
    target = np.empty_like(keys)
    mask = (1 << RADIX_BITS) - 1
    for shift in range(32, 32 + bits, RADIX_BITS):
        starts = np.zeros(mask + 2, np.int64)
        for key in keys:
            starts[((key >> shift) & mask) + 1] += 1
        for digit in range(mask):
            starts[digit + 1] += starts[digit]
        for key in keys:
            digit = (key >> shift) & mask
            target[starts[digit]] = key
            starts[digit] += 1
        keys, target = target, keys
    order = np.empty(len(keys), np.int32)
    for position in range(len(keys)):
        order[position] = keys[position] & 0x7FFFFFFF
    return order


@numba.njit(cache=True, nogil=True)
def take_columns(points: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return (N, D) points as (D, N) float64 columns in another order."""
    columns = np.empty((points.shape[1], len(order)))
    for position in range(len(order)):
        for axis in range(points.shape[1]):
            columns[axis, position] = points[order[position], axis]
    return columns


@numba.njit(cache=True, nogil=True)
def build_boxes(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Build the tree over points that are already in curve order.

    Args:
        columns: (D, N) float64, N > 0.

    Returns:
        bounds (L + 1,) int64: leaf ``j`` holds the points ``bounds[j]`` to ``bounds[j + 1]``;
        lows (2 L - 1, D) and highs (2 L - 1, D): the boxes of all nodes, leaves last. L is a power of two.
    """
    dimensions, n = columns.shape
    leaves = 1
    while leaves * LEAF_SIZE < n:
        leaves *= 2
    bounds = np.empty(leaves + 1, np.int64)
    for leaf in range(leaves + 1):
        bounds[leaf] = n * leaf // leaves
    lows = np.empty((2 * leaves - 1, dimensions))
    highs = np.empty((2 * leaves - 1, dimensions))
    for leaf in range(leaves):
        for axis in range(dimensions):
            low = high = columns[axis, bounds[leaf]]
            for value in columns[axis, bounds[leaf] : bounds[leaf + 1]]:
                low = value if value < low else low
                high = value if value > high else high
            lows[leaves - 1 + leaf, axis], highs[leaves - 1 + leaf, axis] = low, high
    for node in range(leaves - 2, -1, -1):
        for axis in range(dimensions):
            lows[node, axis] = min(lows[2 * node + 1, axis], lows[2 * node + 2, axis])
            highs[node, axis] = max(highs[2 * node + 1, axis], highs[2 * node + 2, axis])
    return bounds, lows, highs


@numba.njit(cache=True, nogil=True, inline="always")
def box_distances(
    centres: np.ndarray, centre: int, lows: np.ndarray, highs: np.ndarray, node: int
) -> tuple[float, float]:
    """Return the squared distances from a centre to the nearest and to the farthest place of a node's box.

    Subtraction, product and sum round monotonically and stand here in the same order as in a distance between two
    points, so these are bounds of the *rounded* squared distances to all points in the box. Comparisons instead of
    ``max``: numba's looks for NaN, at four times the cost.
    """
    near = 0.0
    far = 0.0
    for axis in range(centres.shape[1]):
        below = lows[node, axis] - centres[centre, axis]
        above = centres[centre, axis] - highs[node, axis]
        gap = below if below > above else above
        reach = below if below < above else above
        gap = gap if gap > 0.0 else 0.0
        near += gap * gap
        far += reach * reach
    return near, far
