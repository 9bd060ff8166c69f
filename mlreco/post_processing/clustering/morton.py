"""Order of points along a Morton curve through the cells of a grid: neighbours in the order are neighbours in space."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled

RADIX_BITS = 11
CODE_BITS = 22
ROW_BITS = 32


@compiled
def morton_order(points: np.ndarray) -> np.ndarray:
    """Return the rows of points in the order of a Morton curve through their bounding box.

    The grid has 2^7 cells along each of three axes (2^11 along one or two); beyond 22 axes only the first 22 count.

    Args:
        points: (N, D) float32 or float64, finite.

    Returns:
        (N,) int32 row numbers; rows of one cell ascend.
    """
    n, dimensions = points.shape
    used = min(dimensions, CODE_BITS)
    bits = min(RADIX_BITS, CODE_BITS // max(used, 1))
    cells = 1 << bits
    spread = np.zeros(cells, np.int64)
    for cell in range(cells):
        for bit in range(bits):
            spread[cell] |= ((cell >> bit) & 1) << (bit * used + ROW_BITS)
    keys = np.arange(n)
    values = np.empty(n)
    for axis in range(used):
        for row in range(n):
            values[row] = points[row, axis]
        low, high = extent(values)
        if high > low:
            scale = cells / (high - low)
            for row in range(n):
                keys[row] |= spread[min(np.int64((values[row] - low) * scale), cells - 1)] << axis
    return _radix_order(keys, bits * used)


@compiled(fastmath={"nnan", "nsz"})
def extent(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest of (N,) finite values; the compiler flags only allow vectorisation."""
    low, high = np.inf, -np.inf
    for value in values:
        low = value if value < low else low
        high = value if value > high else high
    return low, high


@compiled
def _radix_order(keys: np.ndarray, bits: int) -> np.ndarray:
    """Sort (N,) keys ``code << 32 | row`` by their code of so many bits and return the rows."""
    target = np.empty_like(keys)
    mask = (1 << RADIX_BITS) - 1
    for shift in range(ROW_BITS, ROW_BITS + bits, RADIX_BITS):
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
