"""Sparse convolution on float32: blocks of output rows, offset by offset, through register tiles.

Every output number is the sum over offsets, then sources and input channels in ascending order, then over shortcuts,
whatever the blocks, the tiles and the number of threads are; so results do not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlreco.models.layers.sparse.cpu.crew import crew_for, share
from mlreco.models.layers.sparse.cpu.epilogue import Epilogue, finish, flat
from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.memory import address, aligned_empty, scratch
from mlreco.models.layers.sparse.cpu.panels import Panels
from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.tile import forward_tile
from mlreco.models.layers.sparse.cpu.vector_code import claim
from mlreco.models.layers.sparse.cpu.walks import BLOCK

if TYPE_CHECKING:
    from mlreco.models.layers.sparse.kernel_map import KernelMap

_LANES = UNIT.lanes
_one, _two, _three = forward_tile(1), forward_tile(2), forward_tile(3)
_four = forward_tile(min(4, len(UNIT.rows)))
_HEIGHT, _LOWEST = 768, 320
_NO_EPILOGUE = Epilogue()


@dataclass(frozen=True)
class Source:
    """Features (n, Cin), float32 and C-contiguous, and the packed weight (K, Cin, Cout) that multiplies them."""

    features: np.ndarray
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
    source: np.ndarray,
    offset: int,
    in_rows: int,
    out_rows: int,
    pairs: int,
    vectors: np.ndarray,
    groups: tuple[int, int],
    columns: tuple[int, int],
    row_0: int,
    sums: int,
    width: int,
    spare: int,
) -> None:
    """Add one offset of one source to the sums; ``columns``: where the part begins, and how long a panel's row is."""
    features, panels, channels = source
    column = 0
    for group in range(groups[0], groups[1]):
        panel = panels + 4 * channels * (offset * columns[1] + columns[0] + column)
        target = sums + 4 * column
        column += vectors[group] * _LANES
        following = panels + 4 * channels * ((offset + 1) * columns[1] + columns[0])
        if group + 1 < groups[1]:
            following = panel + 4 * channels * vectors[group] * _LANES
        operands = (
            *(features, 4 * channels, channels, in_rows, out_rows, pairs),
            *(panel, following, target, 4 * width, row_0, spare),
        )
        _multiply(vectors[group], operands)


@kernel
def _convolve(
    sources: np.ndarray,
    shortcuts: np.ndarray,
    in_rows: np.ndarray,
    out_rows: np.ndarray,
    bounds: np.ndarray,
    identity: np.ndarray,
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
    in_data, out_data, same_data = in_rows.ctypes.data, out_rows.ctypes.data, identity.ctypes.data
    sums = buffer.ctypes.data
    panel_row = vectors.sum() * _LANES
    blocks = (n_out + height - 1) // height
    while True:
        item = claim(counter.ctypes.data)
        if item >= blocks * parts:
            return
        block, part = item // parts, item % parts
        groups = part * len(vectors) // parts, (part + 1) * len(vectors) // parts
        columns = vectors[: groups[0]].sum() * _LANES, panel_row
        width = vectors[groups[0] : groups[1]].sum() * _LANES
        row_0, row_1 = block * height, min(n_out, (block + 1) * height)
        size = (row_1 - row_0) * width
        spare = sums + 4 * size
        buffer[:size] = 0
        for k in range(bounds.shape[0]):
            first, last = bounds[k, row_0 // BLOCK], bounds[k, (row_1 + BLOCK - 1) // BLOCK]
            if first < last:
                places = in_data + 4 * first, out_data + 4 * first, last - first
                for source in sources:
                    _add_source(source, k, *places, vectors, groups, columns, row_0, sums, width, spare)
        places = same_data + 4 * row_0, same_data + 4 * row_0, row_1 - row_0
        for source in shortcuts:
            _add_source(source, 0, *places, vectors, groups, columns, row_0, sums, width, spare)
        finish(buffer, width, row_0, row_1, columns[0], stride, bias, residual, scale, shift, slope, raw, active)


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


def _table(sources: Sequence[Source], rows: int, offsets: int, columns: int) -> np.ndarray:
    """Return address of features, address of panels and channels of every source, after checking them, (S, 3)."""
    table = np.empty((len(sources), 3), np.int64)
    for place, source in zip(table, sources, strict=True):
        features, panels = source.features, source.panels
        shapes = (features.shape, panels.offsets, panels.columns)
        if shapes != ((rows, panels.rows), offsets, columns):
            expected = f"({rows}, {panels.rows}), {offsets}, {columns}"
            raise ValueError(f"features, offsets and columns of the weight do not match: {shapes}, expected {expected}")
        if features.dtype != np.float32 or not features.flags.c_contiguous:
            raise ValueError("features must be float32 and C-contiguous")
        place[:] = address(features), address(panels.values), panels.rows
    return table


def convolve(
    sources: Sequence[Source],
    kernel_map: KernelMap,
    out: np.ndarray | None,
    active: np.ndarray | None = None,
    shortcuts: Sequence[Source] = (),
    epilogue: Epilogue = _NO_EPILOGUE,
    threads: int = 1,
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

    Raises:
        ValueError: shapes or types do not match.
    """
    n_out, panels = kernel_map.n_out, sources[0].panels
    for array in (out, active, epilogue.residual):
        if array is not None and (array.shape != (n_out, panels.columns) or not array.flags.c_contiguous):
            raise ValueError(f"output and residual must be ({n_out}, {panels.columns}) and C-contiguous")
    tables = (
        _table(sources, kernel_map.n_in, len(kernel_map.starts) - 1, panels.columns),
        _table(shortcuts, n_out, 1, panels.columns),
    )
    pairs = (kernel_map.in_rows, kernel_map.out_rows, kernel_map.bounds, kernel_map.identity)
    work = sum(2.0 * source.panels.rows * len(kernel_map.in_rows) for source in sources)
    work += sum(2.0 * source.panels.rows * n_out for source in shortcuts)
    threads = crew_for(threads, work * panels.columns)
    height, parts = _blocking(n_out, panels.vectors, threads)
    outputs = (flat(out), flat(active), n_out, panels.columns, height, parts)
    size = (min(height, n_out) + 1) * int(panels.vectors.sum()) * _LANES
    counter = np.zeros(1, np.int64)
    arguments = (*tables, *pairs, panels.vectors, *epilogue.operands(), *outputs)
    share(lambda: _convolve(*arguments, scratch(size, "sums"), counter), threads)


def convolution(x: np.ndarray, panels: Panels, kernel_map: KernelMap, threads: int = 1) -> np.ndarray:
    """Return the (n_out, Cout) convolution of x, (n_in, Cin) float32 and C-contiguous."""
    out = aligned_empty((kernel_map.n_out, panels.columns))
    convolve([Source(x, panels)], kernel_map, out, threads=threads)
    return out
