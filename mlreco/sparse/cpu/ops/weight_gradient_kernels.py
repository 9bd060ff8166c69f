"""Gradient of the weight of a sparse convolution on float32.

For every offset, the sum over its pairs of the outer products of gradient row and input row is computed in register
tiles, a few pairs at a time so that their rows stay in the first-level cache. Output rows are cut into chunks whose
rows stay in the second-level cache. Every chunk and offset has a sum of its own; the sums are added in the order of
chunks. Chunks depend on shapes only, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from mlreco.sparse.cpu.codegen.shared_memory import Record, claim, floats_at, integers_at, record_at
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.codegen.tile import gradient_tile
from mlreco.sparse.cpu.ops.row_lists import ADDRESS_BYTES, list_rows
from mlreco.sparse.cpu.threads.crew import (
    OPERATIONS_A_NUMBER,
    open_to_helpers,
    work_and_close,
    work_together,
    worth,
)
from mlreco.sparse.maps.submanifold import MAP
from mlreco.sparse.native.jit import SharedKernel, kernel
from mlreco.sparse.native.job import CODE, INT, OWN, RECORD, Layout, Numbers

_LANES = UNIT.lanes
_one, _two, _three = (gradient_tile(tall, v + 1) for v, (tall, _) in enumerate(UNIT.gradient_rows))
_one_low, _two_low, _three_low = (gradient_tile(low, v + 1) for v, (_, low) in enumerate(UNIT.gradient_rows))
_HEIGHTS = np.array(UNIT.gradient_rows, np.int64)
HIGHEST = int(_HEIGHTS.max())
"""Least number of columns of the gradient of the output; a narrower one is copied and padded."""
_ARE_LOWER = any(low < tall for tall, low in UNIT.gradient_rows)
"""Whether low tiles differ from tall ones on this processor."""
MOST_PAIRS = 64
"""Pairs whose rows are listed at once, at most: what a tile reads of them stays in the first-level cache."""


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


JOB = Layout(
    counter=OWN,
    sum_pairs=CODE,
    add_chunks=CODE,
    slot=OWN,
    board=INT,
    crew=INT,
    helpers=INT,
    map=RECORD,
    x=Numbers(np.float32, ("n_in", "x_width")),
    x_given=Numbers(np.float32, ("n_in", "width")),
    x_width=INT,
    grad=Numbers(np.float32, ("n_out", "grad_width")),
    grad_given=Numbers(np.float32, ("n_out", "rows")),
    grad_width=INT,
    vectors=Numbers(np.int64, ("n_groups",)),
    n_groups=INT,
    chunk_blocks=INT,
    chunks=INT,
    lists=Numbers(np.int64),
    pairs=INT,
    rows=INT,
    sums=Numbers(np.float32),
    chunk_stride=INT,
    offset_stride=INT,
    row_stride=INT,
    spare=INT,
    gradient=Numbers(np.float32),
    width=INT,
)
"""A gradient of ``rows`` output and ``width`` input channels. Where ``x_given`` or ``grad_given`` have too few columns,
``begin`` copies them to ``x`` and ``grad``. Tiles that reach beyond the sums write to a spare row, which is never read
and begins ``spare`` numbers after the sums."""
_JOB, _MAP = JOB.dtype, MAP.dtype


@kernel
def _add_pairs(call: Record, grads: int, inputs: int, count: int, add: int, corner: int) -> None:
    """Add the outer products of listed rows to a sum, or overwrite it where ``add`` is 0; low tiles come first."""
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
                *(row - top, call.rows - top, call.sums + 4 * call.spare),
            )
            _add_products(vectors[group], is_low, operands)
            row += height
        column += vectors[group] * _LANES


def _sum_pairs_of_chunks(job_address: int, worker: int) -> None:
    """Sum the outer products of every chunk and offset."""
    call = record_at(job_address, _JOB)
    sites = record_at(call.map, _MAP)
    bounds, blocks = integers_at(sites.bounds), sites.n_bounds - 1
    grads = call.lists + 2 * ADDRESS_BYTES * MOST_PAIRS * worker
    inputs = grads + ADDRESS_BYTES * MOST_PAIRS
    while True:
        item = claim(job_address)
        if item >= call.chunks * sites.offsets:
            return
        chunk, k = item // sites.offsets, item % sites.offsets
        corner = call.sums + 4 * (chunk * call.chunk_stride + k * call.offset_stride)
        first = bounds[k * sites.n_bounds + chunk * call.chunk_blocks]
        end = bounds[k * sites.n_bounds + min(blocks, (chunk + 1) * call.chunk_blocks)]
        if first == end:
            for row in range(call.rows):
                empty = floats_at(corner + 4 * row * call.row_stride)
                for column in range(call.x_width):
                    empty[column] = np.float32(0)
        add = 0
        while first < end:
            count = min(call.pairs, end - first)
            list_rows(grads, call.grad, 4 * call.grad_width, sites.out_rows + 4 * first, count)
            list_rows(inputs, call.x, 4 * call.x_width, sites.in_rows + 4 * first, count)
            _add_pairs(call, grads, inputs, count, add, corner)
            first += count
            add = 1


def _add_chunks_of(job_address: int, _: int) -> None:
    """Add sums (chunks, offsets, rows, columns) over chunks into the gradient (rows, offsets, width)."""
    call = record_at(job_address, _JOB)
    offsets = record_at(call.map, _MAP).offsets
    while True:
        k = claim(job_address)
        if k >= offsets:
            return
        for row in range(call.rows):
            target = floats_at(call.gradient + 4 * (row * offsets + k) * call.width)
            for chunk in range(call.chunks):
                place = chunk * call.chunk_stride + k * call.offset_stride + row * call.row_stride
                source = floats_at(call.sums + 4 * place)
                if chunk == 0:
                    for c in range(call.width):
                        target[c] = source[c]
                else:
                    for c in range(call.width):
                        target[c] += source[c]


sum_pairs, add_chunks = SharedKernel(_sum_pairs_of_chunks), SharedKernel(_add_chunks_of)


@kernel
def _copy_rows(source: int, width: int, rows: int, target: int, columns: int) -> None:
    """Copy rows into wider ones, padded with zeros."""
    for row in range(rows):
        given, kept = floats_at(source + 4 * row * width), floats_at(target + 4 * row * columns)
        for column in range(columns):
            kept[column] = given[column] if column < width else np.float32(0)


def _begin(job_address: int, _: int) -> None:
    """Open the job to helper threads, which work on it while the caller makes other calls, until ``finish``."""
    call = record_at(job_address, _JOB)
    sites = record_at(call.map, _MAP)
    if call.x_given != call.x:
        _copy_rows(call.x_given, call.width, sites.n_in, call.x, call.x_width)
    if call.grad_given != call.grad:
        _copy_rows(call.grad_given, call.rows, sites.n_out, call.grad, call.grad_width)
    call.counter = 0
    helpers = worth(call.board, call.helpers, 2.0 * sites.pairs * call.rows * call.width)
    call.slot = open_to_helpers(call.sum_pairs, job_address, call.board, call.crew, helpers)


def _finish(job_address: int, _: int) -> None:
    """Work on the items that are left, wait for the helpers, and write the gradient."""
    call = record_at(job_address, _JOB)
    work_and_close(call.sum_pairs, job_address, call.slot)
    call.slot = 0
    if call.sums != call.gradient:
        call.counter = 0
        size = call.chunks * record_at(call.map, _MAP).offsets * call.chunk_stride
        helpers = worth(call.board, call.helpers, float(OPERATIONS_A_NUMBER * size))
        work_together(call.add_chunks, job_address, call.board, call.crew, helpers)


begin, finish = SharedKernel(_begin), SharedKernel(_finish)
