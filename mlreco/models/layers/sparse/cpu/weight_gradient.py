"""Gradient of the weight of a sparse convolution on float32.

For every offset, the sum over its pairs of the outer products of gradient row and input row, in register tiles, a few
pairs at a time so that their rows stay in the nearest cache. Output rows are cut into chunks whose rows stay in the
second; every chunk and offset has a sum of its own, and these are added in the order of chunks. Chunks depend on shapes
only, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numba import carray

from mlreco.models.layers.sparse.cpu.crew import begun, crew_for, share
from mlreco.models.layers.sparse.cpu.jit import SharedKernel, kernel
from mlreco.models.layers.sparse.cpu.memory import Array, address, address_of_floats, aligned_empty, job
from mlreco.models.layers.sparse.cpu.panels import split_columns
from mlreco.models.layers.sparse.cpu.row_lists import ADDRESS_BYTES, list_rows
from mlreco.models.layers.sparse.cpu.shared_memory import claim, floats_at, integers_at, memory_at
from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.tile import gradient_tile
from mlreco.models.layers.sparse.cpu.walks import BLOCK

if TYPE_CHECKING:
    from mlreco.models.layers.sparse.kernel_map import KernelMap

_LANES = UNIT.lanes
_one, _two, _three = (gradient_tile(tall, v + 1) for v, (tall, _) in enumerate(UNIT.gradient_rows))
_one_low, _two_low, _three_low = (gradient_tile(low, v + 1) for v, (_, low) in enumerate(UNIT.gradient_rows))
_HEIGHTS = np.array(UNIT.gradient_rows, np.int64)
_ARE_LOWER = any(low < tall for tall, low in UNIT.gradient_rows)
"""Whether there are low tiles; where not, only one code is compiled."""
_CACHE = 1 << 18
_PAIRS = 64
"""Pairs whose rows are listed at once: those parts of them that a tile reads stay in the nearest cache."""
_MOST_CHUNKS = 16


@kernel
def _add_products(vectors: int, is_low: bool, operands: tuple[int, ...]) -> None:
    if vectors == 1:
        if is_low:
            _one_low(operands)
        else:
            _one(operands)
    elif vectors == 2:
        if is_low:
            _two_low(operands)
        else:
            _two(operands)
    elif is_low:
        _three_low(operands)
    else:
        _three(operands)


_FIELDS = (
    *("counter", "x", "in_rows", "x_width", "grad", "out_rows", "grad_width", "bounds", "offsets", "blocks"),
    *("vectors", "n_groups", "chunk_blocks", "chunks", "lists", "rows"),
    *("sums", "chunk_stride", "offset_stride", "row_stride", "spare", "gradient", "width"),
)
_JOB = np.dtype([(name, np.int64) for name in _FIELDS])


@kernel
def _add_pairs(call: np.void, grads: int, inputs: int, count: int, add: int, corner: int) -> None:
    """Add the products of all columns of listed rows to a sum, or replace it; low tiles come first, then tall ones."""
    vectors = integers_at(call.vectors)
    column = 0
    for group in range(call.n_groups):
        tall, low = _HEIGHTS[vectors[group] - 1]
        row = 0
        while row < call.rows:
            is_low = _ARE_LOWER and (call.rows - row) % tall != 0
            height = low if is_low else tall
            top = min(row, call.grad_width - height)
            operands = (
                *(grads, 4 * top, inputs, 4 * column, count, add),
                *(corner + 4 * (top * call.row_stride + column), 4 * call.row_stride),
                *(row - top, call.rows - top, call.spare),
            )
            _add_products(vectors[group], is_low, operands)
            row += height
        column += vectors[group] * _LANES


def _sum_pairs_of_chunks(job_address: int, worker: int) -> None:
    """Sum the products of every chunk and offset."""
    call = carray(memory_at(job_address), 1, _JOB)[0]
    bounds = integers_at(call.bounds)
    grads = call.lists + 2 * ADDRESS_BYTES * _PAIRS * worker
    inputs = grads + ADDRESS_BYTES * _PAIRS
    while True:
        item = claim(job_address)
        if item >= call.chunks * call.offsets:
            return
        chunk, k = item // call.offsets, item % call.offsets
        corner = call.sums + 4 * (chunk * call.chunk_stride + k * call.offset_stride)
        first = bounds[k * (call.blocks + 1) + chunk * call.chunk_blocks]
        end = bounds[k * (call.blocks + 1) + min(call.blocks, (chunk + 1) * call.chunk_blocks)]
        if first == end:
            for row in range(call.rows):
                empty = floats_at(corner + 4 * row * call.row_stride)
                for column in range(call.x_width):
                    empty[column] = np.float32(0)
        add = 0
        while first < end:
            count = min(_PAIRS, end - first)
            list_rows(grads, call.grad, 4 * call.grad_width, call.out_rows + 4 * first, count)
            list_rows(inputs, call.x, 4 * call.x_width, call.in_rows + 4 * first, count)
            _add_pairs(call, grads, inputs, count, add, corner)
            first += count
            add = 1


def _add_chunks_of(job_address: int, _: int) -> None:
    """Add sums (chunks, offsets, rows, columns) over chunks into the gradient (rows, offsets, width)."""
    call = carray(memory_at(job_address), 1, _JOB)[0]
    while True:
        k = claim(job_address)
        if k >= call.offsets:
            return
        for row in range(call.rows):
            target = floats_at(call.gradient + 4 * (row * call.offsets + k) * call.width)
            for chunk in range(call.chunks):
                place = chunk * call.chunk_stride + k * call.offset_stride + row * call.row_stride
                source = floats_at(call.sums + 4 * place)
                if chunk == 0:
                    for c in range(call.width):
                        target[c] = source[c]
                else:
                    for c in range(call.width):
                        target[c] += source[c]


_sum_chunks, _add_chunks = SharedKernel(_sum_pairs_of_chunks), SharedKernel(_add_chunks_of)


def _padded(matrix: Array, columns: int) -> Array:
    """Return the matrix with zeros up to that many columns, itself where it has them."""
    if matrix.shape[1] >= columns:
        return matrix
    padded = np.zeros((len(matrix), columns), np.float32)
    padded[:, : matrix.shape[1]] = matrix
    return padded


def weight_gradient(x: Array, grad: Array, kernel_map: KernelMap, threads: int = 1) -> np.ndarray:
    """Return the gradient of the weight, (K, Cin, Cout) seen, laid out in memory as (Cout, K, Cin).

    Args:
        x: (n_in, Cin) float32 input, C-contiguous.
        grad: (n_out, Cout) float32 gradient of the output, C-contiguous.
        kernel_map: pairs of input and output rows.
        threads: how many threads work at most.
    """
    with weight_gradient_meanwhile(x, grad, kernel_map, threads) as gradient:
        pass
    return gradient


@contextmanager
def weight_gradient_meanwhile(x: Array, grad: Array, kernel_map: KernelMap, threads: int = 1) -> Iterator[np.ndarray]:
    """Begin what ``weight_gradient`` does and give its result, which is complete at the end of the block.

    Helpers work on it while the thread of the block does other things; x and grad must stay as they are until then.
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
        yield result
        return
    x, grad = _padded(x, columns), _padded(grad, int(_HEIGHTS.max()))
    row_bytes = 4 * (rows + columns)
    chunk_bytes = max(_CACHE, 2 * offsets * rows * columns)
    chunk_blocks = max(1, chunk_bytes // (row_bytes * BLOCK), -(-blocks // _MOST_CHUNKS))
    chunks = -(-blocks // chunk_blocks)
    in_place = chunks == 1 and columns == width
    size = total if in_place else chunks * offsets * rows * columns
    sums = gradient if in_place else aligned_empty((size + spare,))
    strides = (0, width, offsets * width) if in_place else (offsets * rows * columns, rows * columns, columns)
    groups = split_columns(columns, len(UNIT.gradient_rows))
    lists = aligned_empty((threads, 2, _PAIRS), np.int64)
    in_at, out_at, bounds_at, _ = kernel_map.addresses
    x_at, grad_at, sums_at, gradient_at = map(address_of_floats, (x, grad, sums, gradient))
    groups_at = address(groups)
    numbers = job(
        *(0, x_at, in_at, columns, grad_at, out_at, grad.shape[1], bounds_at, offsets, blocks),
        *(groups_at, len(groups), chunk_blocks, chunks, address(lists), rows),
        *(sums_at, *strides, sums_at + 4 * size, gradient_at, width),
    )
    with begun(_sum_chunks, numbers, crew_for(threads, 2.0 * len(kernel_map.in_rows) * rows * width)):
        yield result
    if not in_place:
        numbers[0] = 0
        share(_add_chunks, numbers, crew_for(threads, numbers=size))
