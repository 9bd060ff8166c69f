"""Gradient of the weight of a sparse convolution on float32.

For every offset, the sum over its pairs of the outer products of gradient row and input row, in register tiles. Pairs
are taken in chunks of output rows that stay in the cache; every chunk and offset has a sum of its own, and these are
added in the order of chunks. Chunks depend on shapes only, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlreco.models.layers.sparse.cpu.crew import share
from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.memory import aligned_empty
from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.tile import GRADIENT_ROWS, claim, gradient_tile
from mlreco.models.layers.sparse.cpu.walks import BLOCK

if TYPE_CHECKING:
    from mlreco.models.layers.sparse.kernel_map import KernelMap

_LANES = UNIT.lanes
_WIDEST = UNIT.gradient_widest
_one = gradient_tile(1)
_two = gradient_tile(2)
_three = gradient_tile(min(3, _WIDEST))
_CACHE = 1 << 20
_PAIRS = 128
_MOST_CHUNKS = 16


@kernel
def _add_products(
    a: np.ndarray,
    a_rows: np.ndarray,
    a_column: int,
    b: np.ndarray,
    b_rows: np.ndarray,
    b_column: int,
    first: int,
    last: int,
    vectors: int,
    sums: np.ndarray,
    start: int,
    stride: int,
) -> None:
    if vectors == 1:
        _one(a, a_rows, a_column, b, b_rows, b_column, first, last, sums, start, stride)
    elif vectors == 2:
        _two(a, a_rows, a_column, b, b_rows, b_column, first, last, sums, start, stride)
    else:
        _three(a, a_rows, a_column, b, b_rows, b_column, first, last, sums, start, stride)


@kernel
def _sum_chunks(
    x: np.ndarray,
    in_rows: np.ndarray,
    grad: np.ndarray,
    out_rows: np.ndarray,
    bounds: np.ndarray,
    vectors: np.ndarray,
    blocks_a_chunk: int,
    pairs: int,
    sums: np.ndarray,
    counter: np.ndarray,
) -> None:
    offsets, blocks = bounds.shape[0], bounds.shape[1] - 1
    rows, columns = grad.shape[1], x.shape[1]
    size = rows * columns
    chunks = (blocks + blocks_a_chunk - 1) // blocks_a_chunk
    while True:
        item = claim(counter)
        if item >= chunks * offsets:
            return
        chunk, k = item // offsets, item % offsets
        sums[item * size : (item + 1) * size] = 0
        first, end = bounds[k, chunk * blocks_a_chunk], bounds[k, min(blocks, (chunk + 1) * blocks_a_chunk)]
        while first < end:
            last = min(end, first + pairs)
            column = 0
            for group in vectors:
                for row in range(0, rows, GRADIENT_ROWS):
                    start = item * size + row * columns + column
                    _add_products(grad, out_rows, row, x, in_rows, column, first, last, group, sums, start, columns)
                column += group * _LANES
            first = last


@kernel
def _add_chunks(
    sums: np.ndarray, chunks: int, offsets: int, rows: int, columns: int, gradient: np.ndarray, counter: np.ndarray
) -> None:
    while True:
        k = claim(counter)
        if k >= offsets:
            return
        for row in range(gradient.shape[0]):
            target = gradient[row, k]
            for chunk in range(chunks):
                start = ((chunk * offsets + k) * rows + row) * columns
                if chunk == 0:
                    for c in range(len(target)):
                        target[c] = sums[start + c]
                else:
                    for c in range(len(target)):
                        target[c] += sums[start + c]


def _padded(matrix: np.ndarray, multiple: int) -> np.ndarray:
    """Return the matrix with columns of zeros up to a multiple, itself where it needs none."""
    rows, columns = matrix.shape
    if columns % multiple == 0:
        return matrix
    padded = np.zeros((rows, -(-columns // multiple) * multiple), matrix.dtype)
    padded[:, :columns] = matrix
    return padded


def _groups(columns: int) -> np.ndarray:
    vectors = columns // _LANES
    groups = -(-vectors // _WIDEST)
    return np.array([vectors // groups + (i < vectors % groups) for i in range(groups)], dtype=np.int64)


def weight_gradient(x: np.ndarray, grad: np.ndarray, kernel_map: KernelMap, threads: int = 1) -> np.ndarray:
    """Return the gradient of the weight, (K, Cin, Cout) seen, laid out in memory as (Cout, K, Cin).

    Args:
        x: (n_in, Cin) float32 input, C-contiguous.
        grad: (n_out, Cout) float32 gradient of the output, C-contiguous.
        kernel_map: pairs of input and output rows.
        threads: how many threads work at most.
    """
    offsets = len(kernel_map.starts) - 1
    gradient = aligned_empty((grad.shape[1], offsets, x.shape[1]))
    x, grad = _padded(x, _LANES), _padded(grad, GRADIENT_ROWS)
    rows, columns = grad.shape[1], x.shape[1]
    blocks = kernel_map.bounds.shape[1] - 1
    if blocks == 0:
        gradient[:] = 0
        return gradient.transpose(1, 2, 0)
    blocks_a_chunk = max(1, _CACHE // (4 * (rows + columns) * BLOCK), -(-blocks // _MOST_CHUNKS))
    chunks = -(-blocks // blocks_a_chunk)
    sums = aligned_empty((chunks * offsets * rows * columns,))
    counters = np.zeros((2, 8), np.int64)
    pairs = (
        x,
        kernel_map.in_rows,
        grad,
        kernel_map.out_rows,
        kernel_map.bounds,
        _groups(columns),
        blocks_a_chunk,
        _PAIRS,
        sums,
    )
    share(lambda: _sum_chunks(*pairs, counters[0]), threads)
    totals = (sums, chunks, offsets, rows, columns, gradient)
    share(lambda: _add_chunks(*totals, counters[1]), threads if sums.size > 1 << 16 else 1)
    return gradient.transpose(1, 2, 0)
