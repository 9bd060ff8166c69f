"""Sparse convolution on float32: blocks of output rows, offset by offset, through register tiles.

Every output number is the sum over offsets, then sources and input channels in ascending order, then over shortcuts,
whatever the blocks, the tiles and the number of threads are; so results do not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import carray

from mlreco.models.layers.sparse.cpu.calls import AT_ONCE, Calls
from mlreco.models.layers.sparse.cpu.crew import crew_for
from mlreco.models.layers.sparse.cpu.epilogue import Epilogue, finish
from mlreco.models.layers.sparse.cpu.jit import SharedKernel, kernel
from mlreco.models.layers.sparse.cpu.memory import Array, address, address_of_floats, aligned_empty, job, scratch
from mlreco.models.layers.sparse.cpu.panels import Panels
from mlreco.models.layers.sparse.cpu.row_lists import ADDRESS_BYTES, fill_up, list_rows
from mlreco.models.layers.sparse.cpu.shared_memory import claim, floats_at, integers_at, memory_at
from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.tile import BEYOND, forward_tile
from mlreco.models.layers.sparse.cpu.walks import BLOCK

if TYPE_CHECKING:
    from mlreco.models.layers.sparse.kernel_map import KernelMap

_LANES = UNIT.lanes
_one, _two, _three = forward_tile(1), forward_tile(2), forward_tile(3)
_four = forward_tile(min(4, len(UNIT.rows)))
_HEIGHTS = np.array(UNIT.rows, np.int64)
_HEIGHT, _LOWEST = 768, 320
_STRIP = 256
"""Pairs whose rows are listed at once."""
_LIST = _STRIP + BEYOND
_NO_EPILOGUE = Epilogue()


@dataclass(frozen=True)
class Source:
    """Features (n, Cin), float32 and C-contiguous, and the packed weight (K, Cin, Cout) that multiplies them."""

    features: Array
    panels: Panels


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
        source: where its numbers are, see ``_operands``.
        offset: of the kernel.
        rows: where the numbers of the rows are.
        count: how many there are.
        sources: room for a list of their addresses.
        targets: a list of addresses of their sums.
        vectors: where the widths of all column groups are.
        groups: the first column group and the one after the last.
        first_column: where the first group begins in the output.
    """
    operand, widths = integers_at(source), integers_at(vectors)
    features, panels, channels = operand[0], operand[1], operand[2]
    offset_step, column_step, row_step = operand[3], operand[4], operand[5]
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
        height = _HEIGHTS[widths[group] - 1]
        tiles = (count + height - 1) // height
        _multiply(widths[group], (sources, targets, here, tiles, channels, panel, row_bytes, following))


@kernel
def _lanes_of(vectors: int, first: int, last: int) -> int:
    """Return how many numbers the column groups from first to last hold in a row."""
    widths, total = integers_at(vectors), 0
    for group in range(first, last):
        total += widths[group]
    return total * _LANES


_ADDRESSES = ("sources", "in_rows", "out_rows", "bounds", "identity", "vectors", "sums", "lists")
_SOURCE_BYTES = 6 * 8
_COUNTS = ("n_sources", "n_shortcuts", "offsets", "n_blocks", "n_groups", "n_out", "height", "parts", "sums_size")
_JOB = np.dtype(
    [
        ("counter", np.int64),
        *((name, np.int64) for name in (*_ADDRESSES, *_COUNTS)),
        ("epilogue", Epilogue.LAYOUT),
    ]
)


@kernel
def _add_pairs(
    call: np.void,
    sources: range,
    offset: int,
    rows: tuple[int, int],
    count: int,
    lists: int,
    groups: tuple[int, int],
    first_column: int,
    sums: tuple[int, int, int],
) -> None:
    """Add pairs of rows to a block of sums, a strip of pairs after the other.

    Args:
        call: the job.
        sources: numbers of those that are added.
        offset: of the kernel.
        rows: where the numbers of the input rows and of the output rows are.
        count: how many pairs there are.
        lists: room for two lists of addresses.
        groups: the first column group and the one after the last.
        first_column: where the first group begins in the output.
        sums: where output row 0 would be in the block, the bytes of a row, and where a row is that nobody reads.
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
    call = carray(memory_at(job_address), 1, _JOB)[0]
    blocks = (call.n_out + call.height - 1) // call.height
    sums = call.sums + 4 * worker * call.sums_size
    lists = call.lists + 2 * ADDRESS_BYTES * _LIST * worker
    bounds = integers_at(call.bounds)
    while True:
        item = claim(job_address)
        if item >= blocks * call.parts:
            return
        block, part = item // call.parts, item % call.parts
        groups = part * call.n_groups // call.parts, (part + 1) * call.n_groups // call.parts
        column_0 = _lanes_of(call.vectors, 0, groups[0])
        width = _lanes_of(call.vectors, groups[0], groups[1])
        row_0, row_1 = block * call.height, min(call.n_out, (block + 1) * call.height)
        size = (row_1 - row_0) * width
        clean = floats_at(sums)
        for place in range(size):
            clean[place] = np.float32(0)
        where = sums - 4 * width * row_0, 4 * width, sums + 4 * size
        for k in range(call.offsets):
            first = bounds[k * call.n_blocks + row_0 // BLOCK]
            last = bounds[k * call.n_blocks + (row_1 + BLOCK - 1) // BLOCK]
            rows = call.in_rows + 4 * first, call.out_rows + 4 * first
            _add_pairs(call, range(call.n_sources), k, rows, last - first, lists, groups, column_0, where)
        rows = call.identity + 4 * row_0, call.identity + 4 * row_0
        shortcuts = range(call.n_sources, call.n_sources + call.n_shortcuts)
        if call.n_shortcuts:
            _add_pairs(call, shortcuts, 0, rows, row_1 - row_0, lists, groups, column_0, where)
        finish(sums, width, row_0, row_1, column_0, call.epilogue)


_convolve = SharedKernel(_convolve_blocks)


def _blocking(n_out: int, vectors: np.ndarray, threads: int) -> tuple[int, int]:
    """Return the height of the output blocks and the number of parts into which columns are cut.

    High blocks keep the tiles full, since their pairs of one offset are what fills them; there must be enough items
    for all threads, and where rows are too few for that, threads share a block's columns.
    """
    blocks = -(-n_out // _HEIGHT)
    parts = 1
    if threads > 1:
        wanted = 4 * threads
        if blocks < wanted:
            parts = len(vectors)
        blocks = max(blocks, min(-(-wanted // parts), -(-n_out // _LOWEST)))
        blocks = -(-blocks // threads) * threads if parts == 1 else blocks
    return max(1, -(-n_out // (max(1, blocks) * BLOCK))) * BLOCK, parts


def _operands(sources: Sequence[Source], rows: int, offsets: int, columns: int) -> list[int]:
    """Return address of features and of panels, channels and the steps of panels of every source, after checks."""
    operands = []
    for source in sources:
        features, panels = source.features, source.panels
        shapes = (features.shape, panels.offsets, panels.columns)
        if shapes != ((rows, panels.rows), offsets, columns):
            expected = f"({rows}, {panels.rows}), {offsets}, {columns}"
            raise ValueError(f"features, offsets and columns of the weight do not match: {shapes}, expected {expected}")
        operands += address_of_floats(features, "features"), panels.address, panels.rows
        operands += panels.offset_step, panels.column_step, panels.row_step
    return operands


def convolve(
    sources: Sequence[Source],
    kernel_map: KernelMap,
    out: Array | None,
    active: Array | None = None,
    shortcuts: Sequence[Source] = (),
    epilogue: Epilogue = _NO_EPILOGUE,
    threads: int = 1,
    calls: Calls = AT_ONCE,
) -> None:
    """Write a sparse convolution to ``out`` and, activated, to ``active``.

    Args:
        sources: at least one; the output is the sum of their convolutions, that is, the convolution of their features
            side by side.
        kernel_map: pairs of input and output rows.
        out: (n_out, Cout) float32, C-contiguous, or None where only the activated output is wanted.
        active: the same, for the activated output of the epilogue.
        shortcuts: features on the output rows; their products with weights of one offset are added.
        epilogue: what else is added before writing, and the activation.
        threads: how many threads work at most.
        calls: makes the call.

    Raises:
        ValueError: shapes or types do not match.
    """
    n_out, panels = kernel_map.n_out, sources[0].panels
    for array in (out, active, epilogue.residual):
        if array is not None and array.shape != (n_out, panels.columns):
            raise ValueError(f"output and residual must be ({n_out}, {panels.columns}), not {tuple(array.shape)}")
    offsets, n_blocks = kernel_map.bounds.shape
    operands = _operands(sources, kernel_map.n_in, offsets, panels.columns)
    operands += _operands(shortcuts, n_out, 1, panels.columns)
    work = sum(2.0 * source.panels.rows * len(kernel_map.in_rows) for source in sources)
    work += sum(2.0 * source.panels.rows * n_out for source in shortcuts)
    threads = crew_for(threads, work * panels.columns)
    height, parts = _blocking(n_out, panels.vectors, threads)
    sums_size = (min(height, n_out) + 1) * panels.width
    sums = scratch(threads * sums_size, "sums")
    lists = scratch(2 * threads * _LIST * ADDRESS_BYTES // 4, "row lists")
    table = job(*operands)
    places = address(table), *kernel_map.addresses, panels.vectors_address, address(sums), address(lists)
    counts = (len(sources), len(shortcuts), offsets, n_blocks, len(panels.vectors), n_out, height, parts, sums_size)
    numbers = job(0, *places, *counts, *epilogue.layout(out, active, panels.columns))
    calls(_convolve, numbers, threads, sources, shortcuts, kernel_map, epilogue, out, active, table, sums, lists)


def convolution(x: np.ndarray, panels: Panels, kernel_map: KernelMap, threads: int = 1) -> np.ndarray:
    """Return the (n_out, Cout) convolution of x, (n_in, Cin) float32 and C-contiguous."""
    out = aligned_empty((kernel_map.n_out, panels.columns))
    convolve([Source(x, panels)], kernel_map, out, threads=threads)
    return out
