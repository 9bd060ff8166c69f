"""Kernels of the sparse convolution on float32: blocks of output rows, offset by offset, through register tiles.

Every output number is summed in one fixed order: offsets, within them sources and input channels, then shortcuts. So
results do not depend on the division into blocks and tiles or on the number of threads.
"""

from __future__ import annotations

import numpy as np

from mlreco.sparse.cpu.codegen.shared_memory import Record, claim, floats_at, integers_at, record_at
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.codegen.tile import BEYOND
from mlreco.sparse.cpu.ops.epilogue import EPILOGUE, finish
from mlreco.sparse.cpu.ops.row_lists import ADDRESS_BYTES, fill_up, list_rows
from mlreco.sparse.cpu.ops.tiles import HEIGHTS, multiply
from mlreco.sparse.cpu.threads.crew import work_together, worth
from mlreco.sparse.maps.submanifold import BLOCK, MAP
from mlreco.sparse.native.jit import SharedKernel, kernel
from mlreco.sparse.native.job import CODE, INT, OWN, RECORD, Layout, Numbers

_LANES = UNIT.lanes
_HEIGHT, _LOWEST = UNIT.block_rows
MOST_ROWS = -(-_HEIGHT // BLOCK) * BLOCK
"""Largest number of output rows in a block."""
_STRIP = 256
"""Pairs whose rows are listed at once."""
_LIST = _STRIP + BEYOND
LISTS_BYTES = 2 * ADDRESS_BYTES * _LIST
"""Bytes of scratch memory that a thread needs for lists of row addresses."""
SOURCE = Layout(
    features=Numbers(np.float32, ("rows", "channels")),
    panels=Numbers(np.float32, any_strides=True),
    channels=INT,
    offset_step=INT,
    column_step=INT,
    row_step=INT,
)
"""Features, and the packed weight that multiplies them."""
JOB = (
    Layout(
        counter=OWN,
        work=CODE,
        map=RECORD,
        sources=RECORD,
        n_sources=INT,
        n_shortcuts=INT,
        vectors=RECORD,
        n_groups=INT,
        width=INT,
        sums=Numbers(np.float32),
        lists=Numbers(np.float32),
        board=INT,
        crew=INT,
        helpers=INT,
        height=OWN,
        parts=OWN,
        sums_size=OWN,
    )
    + EPILOGUE
)
"""A convolution. ``work`` is the kernel ``blocks_of_output``. ``vectors`` lists the widths of the column groups in
vectors, ``width`` is their sum in numbers. ``sums`` and ``lists`` are scratch memory of all threads."""
_SOURCE, _JOB, _MAP = SOURCE.dtype, JOB.dtype, MAP.dtype
_SOURCE_BYTES = _SOURCE.itemsize


@kernel
def _add_source(
    source: int,
    offset: int,
    rows: int,
    count: int,
    sources: int,
    targets: int,
    vectors: int,
    groups: tuple[int, int],
    first_column: int,
) -> None:
    """Add rows of one source, times one offset of its weight, to the target rows.

    Args:
        source: address of the ``SOURCE`` structure.
        offset: number of the kernel offset.
        rows: address of the row numbers, int32.
        count: number of rows.
        sources: address of scratch memory for the list of their addresses.
        targets: address of the list of addresses of their sums.
        vectors: address of the widths of all column groups, in vectors.
        groups: the first column group and the one after the last.
        first_column: first column of the first group in the output.
    """
    operand, widths = record_at(source, _SOURCE), integers_at(vectors)
    features, panels, channels = operand.features, operand.panels, operand.channels
    offset_step, column_step, row_step = operand.offset_step, operand.column_step, operand.row_step
    list_rows(sources, features, 4 * channels, rows, count)
    fill_up(sources, count, BEYOND, features)
    column = 0
    for group in range(groups[0], groups[1]):
        panel = panels + 4 * (offset * offset_step + (first_column + column) * column_step)
        row_bytes = 4 * row_step if row_step else 4 * widths[group] * _LANES
        here = 4 * column
        column += widths[group] * _LANES
        following = panels + 4 * ((offset + 1) * offset_step + first_column * column_step)
        if group + 1 < groups[1]:
            following = panels + 4 * (offset * offset_step + (first_column + column) * column_step)
        height = HEIGHTS[widths[group] - 1]
        tiles = (count + height - 1) // height
        multiply(widths[group], (sources, targets, here, tiles, channels, panel, row_bytes, following))


@kernel
def _lanes_of(vectors: int, first: int, last: int) -> int:
    """Return how many numbers the column groups from first to last hold in a row."""
    widths, total = integers_at(vectors), 0
    for group in range(first, last):
        total += widths[group]
    return total * _LANES


@kernel
def _add_pairs(
    call: Record,
    sources: range,
    offset: int,
    rows: tuple[int, int],
    count: int,
    lists: int,
    groups: tuple[int, int],
    first_column: int,
    sums: tuple[int, int, int],
) -> None:
    """Add pairs of rows to a block of sums, strip by strip.

    Args:
        call: the job.
        sources: numbers of the sources that are added.
        offset: number of the kernel offset.
        rows: addresses of the numbers of the input rows and of the output rows, int32.
        count: number of pairs.
        lists: address of scratch memory for two lists of addresses.
        groups: the first column group and the one after the last.
        first_column: first column of the first group in the output.
        sums: address that output row 0 would have in the block of sums, bytes of a row, and address of a spare row that
            fills up the last tile.
    """
    base, row_bytes, spare = sums
    targets = lists + ADDRESS_BYTES * _LIST
    for first in range(0, count, _STRIP):
        strip = min(_STRIP, count - first)
        list_rows(targets, base, row_bytes, rows[1] + 4 * first, strip)
        fill_up(targets, strip, BEYOND, spare)
        for source in sources:
            numbers = call.sources + _SOURCE_BYTES * source
            places = rows[0] + 4 * first, strip, lists, targets
            _add_source(numbers, offset, *places, call.vectors, groups, first_column)


def _convolve_blocks(job_address: int, worker: int) -> None:
    call = record_at(job_address, _JOB)
    sites = record_at(call.map, _MAP)
    blocks = (sites.n_out + call.height - 1) // call.height
    sums = call.sums + 4 * worker * call.sums_size
    lists = call.lists + LISTS_BYTES * worker
    bounds = integers_at(sites.bounds)
    while True:
        item = claim(job_address)
        if item >= blocks * call.parts:
            return
        block, part = item // call.parts, item % call.parts
        groups = part * call.n_groups // call.parts, (part + 1) * call.n_groups // call.parts
        column_0 = _lanes_of(call.vectors, 0, groups[0])
        width = _lanes_of(call.vectors, groups[0], groups[1])
        row_0, row_1 = block * call.height, min(sites.n_out, (block + 1) * call.height)
        size = (row_1 - row_0) * width
        clean = floats_at(sums)
        for place in range(size):
            clean[place] = np.float32(0)
        where = sums - 4 * width * row_0, 4 * width, sums + 4 * size
        for k in range(sites.offsets):
            first = bounds[k * sites.n_bounds + row_0 // BLOCK]
            last = bounds[k * sites.n_bounds + (row_1 + BLOCK - 1) // BLOCK]
            rows = sites.in_rows + 4 * first, sites.out_rows + 4 * first
            _add_pairs(call, range(call.n_sources), k, rows, last - first, lists, groups, column_0, where)
        rows = sites.identity + 4 * row_0, sites.identity + 4 * row_0
        shortcuts = range(call.n_sources, call.n_sources + call.n_shortcuts)
        if call.n_shortcuts:
            _add_pairs(call, shortcuts, 0, rows, row_1 - row_0, lists, groups, column_0, where)
        finish(sums, width, row_0, row_1, column_0, call)


blocks_of_output = SharedKernel(_convolve_blocks)


@kernel
def _blocking(n_out: int, groups: int, threads: int) -> tuple[int, int]:
    """Return the height of the output blocks and the number of parts into which column groups are cut.

    A tile is filled with the pairs of one offset in one block, so high blocks leave fewer tiles partly empty. But there
    must be enough items for all threads; where there are too few rows for that, threads share a block's columns.
    """
    blocks, parts = (n_out + _HEIGHT - 1) // _HEIGHT, 1
    if threads > 1:
        wanted = 4 * threads
        if blocks < wanted:
            parts = groups
        blocks = max(blocks, min((wanted + parts - 1) // parts, (n_out + _LOWEST - 1) // _LOWEST))
        if parts == 1:
            blocks = (blocks + threads - 1) // threads * threads
    rows = max(1, blocks) * BLOCK
    return max(1, (n_out + rows - 1) // rows) * BLOCK, parts


def _convolve(job_address: int, _: int) -> None:
    """Convolve, with as many threads as the amount of work is worth."""
    call = record_at(job_address, _JOB)
    sites = record_at(call.map, _MAP)
    products = 0.0
    for source in range(call.n_sources + call.n_shortcuts):
        pairs = sites.pairs if source < call.n_sources else sites.n_out
        products += 2.0 * pairs * record_at(call.sources + _SOURCE_BYTES * source, _SOURCE).channels
    helpers = worth(call.board, call.helpers, products * call.stride)
    call.height, call.parts = _blocking(sites.n_out, call.n_groups, helpers + 1)
    call.sums_size = (min(call.height, sites.n_out) + 1) * call.width
    call.counter = 0
    work_together(call.work, job_address, call.board, call.crew, helpers)


convolution = SharedKernel(_convolve)
