"""Kernel maps of submanifold convolutions from sorted voxels, in linear time, without hashing or searching.

Voxels are given as ``lines`` (N,) int64, (batch, x, y) packed as in :mod:`~mlreco.sparse.maps.keys`, and ``z`` (N,)
int32, strictly ascending in (line, z). The neighbours of a line are found by walking two pointers over the lines, those
of a voxel by walking two pointers along two lines.
"""

from __future__ import annotations

import numpy as np

from mlreco.sparse.maps.keys import AXIS_BITS
from mlreco.sparse.native.jit import kernel
from mlreco.sparse.native.job import INT, Layout, Numbers

BLOCK = 64
"""Output rows between two entries of the table that ``block_bounds`` returns."""
MAP = Layout(
    n_in=INT,
    n_out=INT,
    offsets=INT,
    n_bounds=INT,
    pairs=INT,
    in_rows=Numbers(np.int32, ("pairs",)),
    out_rows=Numbers(np.int32, ("pairs",)),
    bounds=Numbers(np.int64, ("offsets", "n_bounds")),
    identity=Numbers(np.int32, ("n_out",)),
)
"""A kernel map as kernels read it; ``n_bounds`` is the number of entries of ``bounds`` for each offset."""


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
    neighbours: np.ndarray,
    rows: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Write the pairs of the H offsets after the centre; those before the centre are the same pairs with roles swapped.

    Args:
        lines: (N,) int64.
        z: (N,) int32.
        starts: what ``line_starts`` returns.
        size: edge of the kernel.
        neighbours: (H, N) int32, written: the row at the offset.
        rows: (H, N) int32, written: the row at the centre.
        counts: (H,) int64 number of pairs of each offset, 0 before the call.
    """
    half, above = size // 2, size**3 // 2 + 1
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
                    offset = plane * size + z[other] - z[row] + half - above
                    pair = counts[offset]
                    neighbours[offset, pair], rows[offset, pair] = other, row
                    counts[offset] = pair + 1
                    other += 1


@kernel
def _lay_out(
    neighbours: np.ndarray, rows: np.ndarray, counts: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of all 2 H + 1 offsets, and write to ``starts`` where those of each offset begin."""
    offsets, sites = rows.shape
    pairs = 2 * counts.sum() + sites
    in_rows, out_rows = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    pair = 0
    for offset in range(-offsets, offsets + 1):
        starts[offset + offsets] = pair
        place = abs(offset) - 1
        for number in range(counts[place] if offset else sites):
            if offset == 0:
                in_rows[pair], out_rows[pair] = number, number
            elif offset < 0:
                in_rows[pair], out_rows[pair] = rows[place, number], neighbours[place, number]
            else:
                in_rows[pair], out_rows[pair] = neighbours[place, number], rows[place, number]
            pair += 1
    starts[2 * offsets + 1] = pair
    return in_rows, out_rows


def submanifold_pairs(lines: np.ndarray, z: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return in_rows (P,) int32, out_rows (P,) int32 and starts (K + 1,) int64 of a submanifold convolution."""
    offsets = size**3
    room, counts, starts = (offsets // 2, len(z)), np.zeros(offsets // 2, np.int64), np.empty(offsets + 1, np.int64)
    found = np.empty(room, np.int32), np.empty(room, np.int32), counts
    _walk_neighbours(lines, z, line_starts(lines), size, *found)
    in_rows, out_rows = _lay_out(*found, starts)
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
