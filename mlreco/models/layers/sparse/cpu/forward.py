"""Sparse convolution on float32: blocks of output rows, offset by offset, through register tiles.

Every output number is the sum over offsets and then input channels in ascending order, whatever the blocks, the tiles
and the number of threads are; so results do not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlreco.models.layers.sparse.cpu.crew import share
from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.memory import aligned_empty, scratch
from mlreco.models.layers.sparse.cpu.panels import Panels
from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.tile import claim, forward_tile
from mlreco.models.layers.sparse.cpu.walks import BLOCK

if TYPE_CHECKING:
    from mlreco.models.layers.sparse.kernel_map import KernelMap

_LANES = UNIT.lanes
_one, _two, _three = forward_tile(1), forward_tile(2), forward_tile(3)
_four = forward_tile(min(4, len(UNIT.rows)))
_NONE = np.empty(0, np.float32)
_HEIGHT = 768
_LOWEST = 192


@dataclass(frozen=True)
class Epilogue:
    """What happens to a block of output while it is still in the cache: bias, residual, then a second, activated copy.

    Attributes:
        bias: (Cout,) added to every row.
        residual: (n_out, Cout) added.
        scale, shift: (Cout,) of an affine map (BatchNorm in evaluation); the activated output is
            leaky_relu(out * scale + shift).
        slope: of the leaky ReLU on negative numbers.
    """

    bias: np.ndarray | None = None
    residual: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    slope: float = 0.0


@kernel
def _multiply(vectors: int, operands: tuple[int, ...]) -> None:
    if vectors == 1:
        _one(operands)
    elif vectors == 2:
        _two(operands)
    elif vectors == 3:
        _three(operands)
    else:
        _four(operands)


@kernel
def _finish(
    sums: np.ndarray,
    width: int,
    row_0: int,
    row_1: int,
    column_0: int,
    stride: int,
    bias: np.ndarray,
    residual: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    slope: float,
    raw: np.ndarray,
    active: np.ndarray,
) -> None:
    """Write the sums of a block; flat arrays and unsigned places let LLVM use vectors and skip sign checks."""
    columns = np.uint64(min(width, stride - column_0))
    zero, first = np.float32(0), np.uint64(column_0)
    for row in range(row_0, row_1):
        here, there = np.uint64((row - row_0) * width), np.uint64(row * stride + column_0)
        if len(bias):
            for c in range(columns):
                sums[here + c] += bias[first + c]
        if len(residual):
            for c in range(columns):
                sums[here + c] += residual[there + c]
        if len(raw):
            for c in range(columns):
                raw[there + c] = sums[here + c]
        if len(active):
            for c in range(columns):
                value = sums[here + c] * scale[first + c] + shift[first + c]
                active[there + c] = max(value, zero) + slope * min(value, zero)


@kernel
def _convolve(
    x: np.ndarray,
    in_rows: np.ndarray,
    out_rows: np.ndarray,
    bounds: np.ndarray,
    panels: np.ndarray,
    vectors: np.ndarray,
    bias: np.ndarray,
    residual: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    slope: float,
    raw: np.ndarray,
    active: np.ndarray,
    n_out: int,
    stride: int,
    height: int,
    parts: int,
    buffer: np.ndarray,
    counter: np.ndarray,
) -> None:
    offsets, channels = bounds.shape[0], x.shape[1]
    x_data, in_data, out_data = x.ctypes.data, in_rows.ctypes.data, out_rows.ctypes.data
    panel_data, sums_data = panels.ctypes.data, buffer.ctypes.data
    panel_row = vectors.sum() * _LANES
    blocks = (n_out + height - 1) // height
    while True:
        item = claim(counter.ctypes.data)
        if item >= blocks * parts:
            return
        block, part = item // parts, item % parts
        group_0, group_1 = part * len(vectors) // parts, (part + 1) * len(vectors) // parts
        column_0 = vectors[:group_0].sum() * _LANES
        width = vectors[group_0:group_1].sum() * _LANES
        row_0, row_1 = block * height, min(n_out, (block + 1) * height)
        size = (row_1 - row_0) * width
        buffer[:size] = 0
        for k in range(offsets):
            first, last = bounds[k, row_0 // BLOCK], bounds[k, (row_1 + BLOCK - 1) // BLOCK]
            if first == last:
                continue
            column = 0
            for group in range(group_0, group_1):
                operands = (
                    x_data,
                    4 * channels,
                    channels,
                    in_data + 4 * first,
                    out_data + 4 * first,
                    last - first,
                    panel_data + 4 * channels * (k * panel_row + column_0 + column),
                    sums_data + 4 * column,
                    4 * width,
                    row_0,
                    sums_data + 4 * size,
                )
                _multiply(vectors[group], operands)
                column += vectors[group] * _LANES
        _finish(buffer, width, row_0, row_1, column_0, stride, bias, residual, scale, shift, slope, raw, active)


def _blocking(n_out: int, panels: Panels, threads: int) -> tuple[int, int]:
    """Return the height of the output blocks and the number of parts into which columns are cut.

    High blocks keep the tiles full, since their pairs of one offset are what fills them; there must be enough items
    for all threads, and where rows are too few for that, threads share a block's columns.
    """
    blocks = -(-n_out // _HEIGHT)
    parts = 1
    if threads > 1:
        wanted = 4 * threads
        if blocks < wanted:
            parts = len(panels.vectors)
        blocks = max(blocks, min(-(-wanted // parts), -(-n_out // _LOWEST)))
        blocks = -(-blocks // threads) * threads if parts == 1 else blocks
    return max(1, -(-n_out // (max(1, blocks) * BLOCK))) * BLOCK, parts


def _flat(array: np.ndarray | None) -> np.ndarray:
    return _NONE if array is None else array.reshape(-1)


def convolve(
    x: np.ndarray,
    panels: Panels,
    kernel_map: KernelMap,
    out: np.ndarray | None,
    active: np.ndarray | None = None,
    epilogue: Epilogue = Epilogue(),
    threads: int = 1,
) -> None:
    """Write a convolution of x to ``out`` and, activated, to ``active``.

    Args:
        x: (n_in, Cin) float32, C-contiguous.
        panels: the packed weight.
        kernel_map: pairs of input and output rows.
        out: (n_out, Cout) float32, C-contiguous, or None where only the activated output is wanted.
        active: the same, for the activated output of the epilogue.
        epilogue: what is added before writing, and the activation.
        threads: how many threads work at most.
    """
    e = epilogue
    height, parts = _blocking(kernel_map.n_out, panels, threads)
    counter = np.zeros(8, np.int64)
    size = (min(height, kernel_map.n_out) + 1) * int(panels.vectors.sum()) * _LANES
    optional = (e.bias, e.residual, e.scale, e.shift, np.float32(e.slope), out, active)
    arguments = (
        *(x, kernel_map.in_rows, kernel_map.out_rows, kernel_map.bounds, panels.values, panels.vectors),
        *(_flat(array) if array is None or isinstance(array, np.ndarray) else array for array in optional),
        *(kernel_map.n_out, panels.columns, height, parts),
    )
    share(lambda: _convolve(*arguments, scratch(size, "sums"), counter), threads)


def convolution(
    x: np.ndarray, panels: Panels, kernel_map: KernelMap, threads: int = 1, **epilogue: np.ndarray
) -> np.ndarray:
    """Return the (n_out, Cout) convolution of x; see :func:`convolve`."""
    out = aligned_empty((kernel_map.n_out, panels.columns))
    convolve(x, panels, kernel_map, out, epilogue=Epilogue(**epilogue), threads=threads)
    return out
