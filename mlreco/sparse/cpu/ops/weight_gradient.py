"""Gradient of the weight of a sparse convolution on float32: scratch memory and the job of the kernels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.ops.panels import rows_fit, split_columns
from mlreco.sparse.cpu.ops.weight_gradient_kernels import (
    HIGHEST,
    JOB,
    MOST_PAIRS,
    add_chunks,
    begin,
    finish,
    sum_pairs,
)
from mlreco.sparse.cpu.threads.calls import DIRECT, BlockOfCalls
from mlreco.sparse.cpu.threads.crew import crew_fields
from mlreco.sparse.maps.submanifold import BLOCK
from mlreco.sparse.native.job import Job
from mlreco.sparse.native.memory import Array, floats

if TYPE_CHECKING:
    from mlreco.sparse.maps.kernel_map import KernelMap

_LANES = UNIT.lanes
_CACHE = 1 << 18
"""Bytes that the rows of a chunk have at least. Chunks are larger where the sum, (K, Cin, Cout), is large, because
every chunk reads and writes it."""
_MOST_CHUNKS = 16


@lru_cache
def _groups(columns: int) -> torch.Tensor:
    """Return the widths of the column groups, in vectors."""
    return torch.tensor(split_columns(columns, len(UNIT.gradient_rows)).tolist(), device="cpu")


def _chunks(blocks: int, offsets: int, rows: int, columns: int) -> tuple[int, int]:
    """Return the number of blocks of output rows in a chunk, and the number of chunks."""
    wanted = max(_CACHE, 2 * offsets * rows * columns)
    chunk_blocks = max(1, wanted // (4 * (rows + columns) * BLOCK), -(-blocks // _MOST_CHUNKS))
    return chunk_blocks, max(1, -(-blocks // chunk_blocks))


@lru_cache
def _pairs(columns: int) -> int:
    """Return how many pairs are listed at once: fewer where their rows would evict each other from the cache."""
    return MOST_PAIRS if rows_fit(4 * columns, MOST_PAIRS) else MOST_PAIRS // 2


def _read(matrix: Array, columns: int) -> Array:
    """Return the matrix if it has at least so many columns, else memory for a copy padded to that width."""
    return matrix if matrix.shape[1] >= columns else floats(len(matrix), columns)


def begin_weight_gradient(x: Array, grad: Array, kernel_map: KernelMap, calls: BlockOfCalls) -> torch.Tensor:
    """Begin the gradient of a weight: helper threads work on it, and ``calls`` finishes it when its block ends.

    Args:
        x: (n_in, Cin) float32 input, C-contiguous. Earlier calls may write it; it must not change until the last call
            has been made.
        grad: (n_out, Cout) float32 gradient of the output, C-contiguous; the same holds.
        kernel_map: pairs of input and output rows.
        calls: makes the calls.

    Returns:
        (Cout, K, Cin) float32, complete when all calls have been made.
    """
    offsets, rows, width = kernel_map.offsets, grad.shape[1], x.shape[1]
    columns = -(-width // _LANES) * _LANES
    total, spare = rows * offsets * width, 4 * _LANES
    gradient = floats(total + spare)
    x_read, grad_read = _read(x, columns), _read(grad, HIGHEST)
    chunk_blocks, chunks = _chunks(kernel_map.bounds.shape[1] - 1, offsets, rows, columns)
    in_place = chunks == 1 and columns == width
    size = total if in_place else chunks * offsets * rows * columns
    sums = gradient if in_place else floats(size + spare)
    strides = (0, width, offsets * width) if in_place else (offsets * rows * columns, rows * columns, columns)
    chunk_stride, offset_stride, row_stride = strides
    groups, crew = _groups(columns), crew_fields(calls.threads)
    job = Job(
        JOB,
        {"n_in": kernel_map.n_in, "n_out": kernel_map.n_out},
        sum_pairs=sum_pairs,
        add_chunks=add_chunks,
        map=kernel_map.record,
        x=x_read,
        x_given=x,
        x_width=columns,
        grad=grad_read,
        grad_given=grad,
        grad_width=grad_read.shape[1],
        vectors=groups,
        n_groups=groups.shape[0],
        chunk_blocks=chunk_blocks,
        chunks=chunks,
        lists=torch.empty(crew["helpers"] + 1, 2, MOST_PAIRS, dtype=torch.int64, device="cpu"),
        pairs=_pairs(columns),
        rows=rows,
        sums=sums,
        chunk_stride=chunk_stride,
        offset_stride=offset_stride,
        row_stride=row_stride,
        spare=size,
        gradient=gradient,
        width=width,
        **crew,
    )
    calls.begin(begin, finish, job)
    return gradient[:total].view(rows, offsets, width)


def weight_gradient(x: Array, grad: Array, kernel_map: KernelMap, calls: BlockOfCalls = DIRECT) -> torch.Tensor:
    """Return the gradient of the weight, a (K, Cin, Cout) float32 view of memory in the order (Cout, K, Cin).

    Args:
        x: (n_in, Cin) float32 input, C-contiguous.
        grad: (n_out, Cout) float32 gradient of the output, C-contiguous.
        kernel_map: pairs of input and output rows.
        calls: makes the calls, in a block of its own.
    """
    with calls:
        gradient = begin_weight_gradient(x, grad, kernel_map, calls)
    return gradient.permute(1, 2, 0)
