"""Kernel maps of convolutions whose kernel size equals their stride, from sorted voxels in linear time."""

from __future__ import annotations

import numpy as np

from mlreco.sparse.maps.keys import AXIS_BITS
from mlreco.sparse.maps.submanifold import line_starts
from mlreco.sparse.native.jit import kernel


@kernel
def _walk_parents(
    lines: np.ndarray,
    z: np.ndarray,
    starts: np.ndarray,
    stride: int,
    parents: np.ndarray,
    coarse_lines: np.ndarray,
    coarse_z: np.ndarray,
) -> int:
    """Write the coarse row of every voxel and the coarse voxels; return the number of these.

    The ``stride`` planes of a coarse plane are walked together by y, the lines of a coarse line together by z.
    """
    mask = (1 << AXIS_BITS) - 1
    count = len(starts) - 1
    heads, ends = np.empty(stride, np.int64), np.empty(stride, np.int64)
    positions, stops = np.empty(stride * stride, np.int64), np.empty(stride * stride, np.int64)
    coarse = 0
    line = 0
    while line < count:
        first_plane = lines[starts[line]] >> AXIS_BITS
        batch, coarse_x = first_plane >> AXIS_BITS, (first_plane & mask) // stride
        for i in range(stride):
            heads[i] = line
            plane = (batch << AXIS_BITS) + coarse_x * stride + i
            while line < count and lines[starts[line]] >> AXIS_BITS == plane:
                line += 1
            ends[i] = line
        while True:
            coarse_y = mask
            for i in range(stride):
                if heads[i] < ends[i]:
                    coarse_y = min(coarse_y, (lines[starts[heads[i]]] & mask) // stride)
            if coarse_y == mask:
                break
            together = 0
            for i in range(stride):
                while heads[i] < ends[i] and (lines[starts[heads[i]]] & mask) // stride == coarse_y:
                    positions[together], stops[together] = starts[heads[i]], starts[heads[i] + 1]
                    together += 1
                    heads[i] += 1
            coarse_line = (((batch << AXIS_BITS) | coarse_x) << AXIS_BITS) | coarse_y
            while True:
                lowest = mask
                for i in range(together):
                    if positions[i] < stops[i]:
                        lowest = min(lowest, z[positions[i]] // stride)
                if lowest == mask:
                    break
                for i in range(together):
                    while positions[i] < stops[i] and z[positions[i]] // stride == lowest:
                        parents[positions[i]] = coarse
                        positions[i] += 1
                coarse_lines[coarse], coarse_z[coarse] = coarse_line, lowest
                coarse += 1
    return coarse


@kernel
def _sort_by_offset(
    lines: np.ndarray,
    z: np.ndarray,
    stride: int,
    parents: np.ndarray,
    starts: np.ndarray,
    in_rows: np.ndarray,
    out_rows: np.ndarray,
) -> None:
    mask = (1 << AXIS_BITS) - 1
    for fill in range(2):
        cursor = starts[:-1].copy()
        for row in range(len(z)):
            x, y = (lines[row] >> AXIS_BITS) & mask, lines[row] & mask
            offset = (x % stride * stride + y % stride) * stride + z[row] % stride
            if fill:
                in_rows[cursor[offset]], out_rows[cursor[offset]] = row, parents[row]
                cursor[offset] += 1
            else:
                starts[offset + 1] += 1
        if not fill:
            for offset in range(len(starts) - 1):
                starts[offset + 1] += starts[offset]


def coarse_pairs(
    lines: np.ndarray, z: np.ndarray, stride: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of a convolution whose kernel size is its stride, and the coarse voxels.

    Returns:
        in_rows (N,) int32, out_rows (N,) int32, starts (K + 1,) int64, coarse lines (M,) int64, coarse z (M,) int32.
    """
    count = len(z)
    parents, coarse_lines, coarse_z = np.empty(count, np.int32), np.empty(count, np.int64), np.empty(count, np.int32)
    coarse = _walk_parents(lines, z, line_starts(lines), stride, parents, coarse_lines, coarse_z)
    starts = np.zeros(stride**3 + 1, np.int64)
    in_rows, out_rows = np.empty(count, np.int32), np.empty(count, np.int32)
    _sort_by_offset(lines, z, stride, parents, starts, in_rows, out_rows)
    return in_rows, out_rows, starts, coarse_lines[:coarse].copy(), coarse_z[:coarse].copy()
