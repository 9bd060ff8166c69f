"""Kernel maps by walking along sorted voxels: time linear in the number of voxels, no hashing, no searching.

Voxels are given as ``lines`` (N,) int64, (batch, x, y) packed with 21 bits for x and y, and ``z`` (N,) int32,
strictly ascending in (line, z). The neighbours of a line are found by walking two pointers over the lines, those of
a voxel by walking two pointers along two lines.
"""

from __future__ import annotations

import numpy as np

from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.keys import AXIS_BITS

BLOCK = 64
"""Output rows between two entries of the table that ``block_bounds`` returns."""


@kernel
def line_starts(lines: np.ndarray) -> np.ndarray:
    """Return (L + 1,) int64: the first row of every line, and the number of rows."""
    starts = np.empty(len(lines) + 1, np.int64)
    count = 0
    for row in range(len(lines)):
        if row == 0 or lines[row] != lines[row - 1]:
            starts[count] = row
            count += 1
    starts[count] = len(lines)
    return starts[: count + 1]


@kernel
def _walk_neighbours(
    lines: np.ndarray,
    z: np.ndarray,
    starts: np.ndarray,
    size: int,
    fill: bool,
    cursor: np.ndarray,
    in_rows: np.ndarray,
    out_rows: np.ndarray,
) -> None:
    """Count the pairs of every offset in ``cursor``, or write them from where ``cursor`` points.

    Only the second half of the offsets is walked; the first half are the same pairs the other way round.
    """
    half, last = size // 2, size**3 - 1
    count = len(starts) - 1
    for plane in range((size * size) // 2, size * size):
        shift = ((plane // size - half) << AXIS_BITS) + plane % size - half
        there = 0
        for here in range(count):
            wanted = lines[starts[here]] + shift
            while there < count and lines[starts[there]] < wanted:
                there += 1
            if there == count:
                break
            if lines[starts[there]] != wanted:
                continue
            nearest, end = starts[there], starts[there + 1]
            for row in range(starts[here], starts[here + 1]):
                lowest = z[row] - half if shift else z[row] + 1
                while nearest < end and z[nearest] < lowest:
                    nearest += 1
                other = nearest
                while other < end and z[other] <= z[row] + half:
                    offset = plane * size + z[other] - z[row] + half
                    if fill:
                        in_rows[cursor[offset]], out_rows[cursor[offset]] = other, row
                        in_rows[cursor[last - offset]], out_rows[cursor[last - offset]] = row, other
                    cursor[offset] += 1
                    cursor[last - offset] += 1
                    other += 1


def submanifold_pairs(lines: np.ndarray, z: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return in_rows (P,) int32, out_rows (P,) int32 and starts (K + 1,) int64 of a submanifold convolution."""
    first_rows = line_starts(lines)
    counts = np.zeros(size**3, np.int64)
    nothing = np.empty(0, np.int32)
    _walk_neighbours(lines, z, first_rows, size, False, counts, nothing, nothing)
    center = size**3 // 2
    counts[center] = len(z)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    in_rows, out_rows = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    _walk_neighbours(lines, z, first_rows, size, True, starts[:-1].copy(), in_rows, out_rows)
    for rows in (in_rows, out_rows):
        rows[starts[center] : starts[center + 1]] = np.arange(len(z), dtype=np.int32)
    return in_rows, out_rows, starts


@kernel
def block_bounds(out_rows: np.ndarray, starts: np.ndarray, n_out: int, block: int) -> np.ndarray:
    """Return (K, ceil(n_out / block) + 1) int64: the first pair of offset k whose output row is at least j * block."""
    offsets, blocks = len(starts) - 1, (n_out + block - 1) // block
    bounds = np.empty((offsets, blocks + 1), np.int64)
    for k in range(offsets):
        pair = starts[k]
        for j in range(blocks):
            while pair < starts[k + 1] and out_rows[pair] < j * block:
                pair += 1
            bounds[k, j] = pair
        bounds[k, blocks] = starts[k + 1]
    return bounds


@kernel
def is_ascending(rows: np.ndarray, starts: np.ndarray) -> bool:
    """Tell whether the rows ascend strictly within every offset."""
    for k in range(len(starts) - 1):
        for pair in range(starts[k] + 1, starts[k + 1]):
            if rows[pair] <= rows[pair - 1]:
                return False
    return True
