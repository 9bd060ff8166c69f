"""Gradient of the weight of a sparse convolution on float32.

For every offset, the sum over its pairs of the outer products of gradient row and input row, in register tiles, a few
pairs at a time so that their rows stay in the nearest cache. Output rows are cut into chunks; every chunk and offset
has a sum of its own, and these are added in the order of chunks. Chunks depend on shapes only, so the result does not
depend on the number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlreco.models.layers.sparse.cpu.crew import crew_for, share
from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.memory import aligned_empty, scratch
from mlreco.models.layers.sparse.cpu.panels import split_columns
from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.tile import gradient_tile
from mlreco.models.layers.sparse.cpu.vector_code import claim
from mlreco.models.layers.sparse.cpu.walks import BLOCK

if TYPE_CHECKING:
    from mlreco.models.layers.sparse.kernel_map import KernelMap

_LANES = UNIT.lanes
_one, _two, _three = gradient_tile(1), gradient_tile(2), gradient_tile(3)
_HEIGHTS = np.array(UNIT.gradient_rows, np.int64)
_CACHE = 1 << 20
_NEAR_CACHE = 40 * 1024
_FEWEST_PAIRS, _MOST_PAIRS = 32, 128
_MOST_CHUNKS = 16


@kernel
def _add_products(vectors: int, operands: tuple[int, ...]) -> None:
    if vectors == 1:
        _one(operands)
    elif vectors == 2:
        _two(operands)
    else:
        _three(operands)


@kernel
def _sum_chunks(
    x: np.ndarray,
    in_rows: np.ndarray,
    grad: np.ndarray,
    out_rows: np.ndarray,
    bounds: np.ndarray,
    vectors: np.ndarray,
    chunk_blocks: int,
    pairs: int,
    rows: int,
    sums: np.ndarray,
    chunk_stride: int,
    offset_stride: int,
    row_stride: int,
    spare: int,
    counter: np.ndarray,
) -> None:
    offsets, blocks = bounds.shape[0], bounds.shape[1] - 1
    chunks = (blocks + chunk_blocks - 1) // chunk_blocks
    x_data, grad_data, sums_data = x.ctypes.data, grad.ctypes.data, sums.ctypes.data
    in_data, out_data = in_rows.ctypes.data, out_rows.ctypes.data
    while True:
        item = claim(counter.ctypes.data)
        if item >= chunks * offsets:
            return
        chunk, k = item // offsets, item % offsets
        corner = chunk * chunk_stride + k * offset_stride
        first, end = bounds[k, chunk * chunk_blocks], bounds[k, min(blocks, (chunk + 1) * chunk_blocks)]
        if first == end:
            for row in range(rows):
                sums[corner + row * row_stride : corner + row * row_stride + x.shape[1]] = 0
        add = 0
        while first < end:
            count = min(pairs, end - first)
            column = 0
            for group in vectors:
                height = _HEIGHTS[group - 1]
                for row in range(0, rows, height):
                    top = min(row, grad.shape[1] - height)
                    operands = (
                        grad_data + 4 * top,
                        4 * grad.shape[1],
                        out_data + 4 * first,
                        x_data + 4 * column,
                        4 * x.shape[1],
                        in_data + 4 * first,
                        count,
                        add,
                        sums_data + 4 * (corner + top * row_stride + column),
                        4 * row_stride,
                        row - top,
                        rows - top,
                        sums_data + 4 * spare,
                    )
                    _add_products(group, operands)
                column += group * _LANES
            first += count
            add = 1


@kernel
def _add_chunks(
    sums: np.ndarray,
    chunks: int,
    offsets: int,
    rows: int,
    columns: int,
    gradient: np.ndarray,
    width: int,
    counter: np.ndarray,
) -> None:
    """Add sums (chunks, offsets, rows, columns) over chunks into the gradient (rows, offsets, width), both flat."""
    while True:
        k = claim(counter.ctypes.data)
        if k >= offsets:
            return
        for row in range(rows):
            target = np.uint64((row * offsets + k) * width)
            for chunk in range(chunks):
                start = np.uint64(((chunk * offsets + k) * rows + row) * columns)
                if chunk == 0:
                    for c in range(np.uint64(width)):
                        gradient[target + c] = sums[start + c]
                else:
                    for c in range(np.uint64(width)):
                        gradient[target + c] += sums[start + c]


def _padded(matrix: np.ndarray, columns: int) -> np.ndarray:
    """Return the matrix with zeros up to that many columns, itself where it has them."""
    if matrix.shape[1] >= columns:
        return matrix
    padded = np.zeros((len(matrix), columns), matrix.dtype)
    padded[:, : matrix.shape[1]] = matrix
    return padded


def weight_gradient(x: np.ndarray, grad: np.ndarray, kernel_map: KernelMap, threads: int = 1) -> np.ndarray:
    """Return the gradient of the weight, (K, Cin, Cout) seen, laid out in memory as (Cout, K, Cin).

    Args:
        x: (n_in, Cin) float32 input, C-contiguous.
        grad: (n_out, Cout) float32 gradient of the output, C-contiguous.
        kernel_map: pairs of input and output rows.
        threads: how many threads work at most.
    """
    offsets, rows, width = len(kernel_map.starts) - 1, grad.shape[1], x.shape[1]
    columns = -(-width // _LANES) * _LANES
    total = rows * offsets * width
    spare = 4 * _LANES
    gradient = aligned_empty((total + spare,))
    result = gradient[:total].reshape(rows, offsets, width).transpose(1, 2, 0)
    blocks = kernel_map.bounds.shape[1] - 1
    if blocks == 0:
        result[:] = 0
        return result
    x, grad = _padded(x, columns), _padded(grad, int(_HEIGHTS.max()))
    row_bytes = 4 * (rows + columns)
    chunk_blocks = max(1, _CACHE // (row_bytes * BLOCK), -(-blocks // _MOST_CHUNKS))
    chunks = -(-blocks // chunk_blocks)
    in_place = chunks == 1 and columns == width
    size = total if in_place else chunks * offsets * rows * columns
    sums = gradient if in_place else scratch(size + spare, "gradients")
    strides = (0, width, offsets * width) if in_place else (offsets * rows * columns, rows * columns, columns)
    groups = split_columns(columns, len(UNIT.gradient_rows))
    pairs = min(_MOST_PAIRS, max(_FEWEST_PAIRS, _NEAR_CACHE // (4 * (rows + int(groups[0]) * _LANES))))
    counters = np.zeros((2, 8), np.int64)
    data = (x, kernel_map.in_rows, grad, kernel_map.out_rows, kernel_map.bounds)
    crew = crew_for(threads, 2.0 * len(kernel_map.in_rows) * rows * width)
    share(lambda: _sum_chunks(*data, groups, chunk_blocks, pairs, rows, sums, *strides, size, counters[0]), crew)
    if not in_place:
        totals = (sums, chunks, offsets, rows, columns, gradient, width)
        share(lambda: _add_chunks(*totals, counters[1]), crew_for(threads, numbers=size))
    return result
