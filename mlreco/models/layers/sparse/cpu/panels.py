"""Weights laid out as the register tiles read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.models.layers.sparse.cpu.crew import crew_for, share
from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.memory import aligned_empty, scratch
from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.transpose import transpose_squares
from mlreco.models.layers.sparse.cpu.vector_code import claim

_LANES = UNIT.lanes


@dataclass(frozen=True)
class Panels:
    """A weight (K, Cin, Cout) cut into panels: for every offset and column group Cin x (vectors x lanes) numbers.

    Attributes:
        values: the panels one after another, flat, float32; columns beyond Cout are zero.
        vectors: (G,) int64, vectors of each column group.
        offsets: kernel offsets K.
        rows: input channels Cin.
        columns: output channels Cout.
    """

    values: np.ndarray
    vectors: np.ndarray
    offsets: int
    rows: int
    columns: int


def split_columns(columns: int, widest: int, share: int = 1) -> np.ndarray:
    """Return the numbers of vectors of the column groups into which a row of that many numbers is cut, (G,) int64.

    Groups are as equal as they can be, and as many as a multiple of ``share`` where there are several.

    Args:
        columns: numbers in a row.
        widest: most vectors in a group.
        share: how many threads must be able to share the groups.
    """
    vectors = -(-columns // UNIT.lanes)
    groups = -(-vectors // widest)
    if groups > 1:
        groups = -(-groups // share) * share
    return np.array([vectors // groups + (i < vectors % groups) for i in range(groups)], dtype=np.int64)


@kernel
def _pack_columns(
    flat: np.ndarray,
    offset_stride: int,
    row_stride: int,
    column_stride: int,
    offsets: int,
    rows: int,
    columns: int,
    widths: np.ndarray,
    panels: np.ndarray,
    counter: np.ndarray,
) -> None:
    """Fill panels column by column, a vector of columns at a time; rows that follow each other in memory are fast."""
    size = rows * widths.sum()
    while True:
        first = claim(counter.ctypes.data) * _LANES
        if first >= columns:
            return
        group, before = 0, 0
        while first >= before + widths[group]:
            before += widths[group]
            group += 1
        width, inside = widths[group], min(_LANES, columns - first)
        squares = rows // _LANES if row_stride == 1 and inside == _LANES else 0
        for k in range(offsets):
            source, target = k * offset_stride + first * column_stride, k * size + rows * before + first - before
            if squares:
                places = (flat.ctypes.data + 4 * source, panels.ctypes.data + 4 * target)
                transpose_squares((places[0], 4 * column_stride, places[1], 4 * width, squares))
            for row in range(squares * _LANES, rows):
                for column in range(inside):
                    panels[target + row * width + column] = flat[source + row * row_stride + column * column_stride]
                for column in range(inside, _LANES):
                    panels[target + row * width + column] = np.float32(0.0)


@kernel
def _pack_rows(
    flat: np.ndarray,
    offset_stride: int,
    row_stride: int,
    offsets: int,
    rows: int,
    columns: int,
    widths: np.ndarray,
    panels: np.ndarray,
    counter: np.ndarray,
) -> None:
    """Fill panels row by row where the columns of a row follow each other in memory."""
    size = rows * widths.sum()
    while True:
        row = claim(counter.ctypes.data)
        if row >= rows:
            return
        for k in range(offsets):
            first = 0
            for width in widths:
                inside = min(width, columns - first)
                source = np.uint64(k * offset_stride + row * row_stride + first)
                target = np.uint64(k * size + rows * first + row * width)
                for column in range(np.uint64(inside)):
                    panels[target + column] = flat[source + column]
                for column in range(np.uint64(inside), np.uint64(width)):
                    panels[target + column] = np.float32(0.0)
                first += width


def _flat_view(array: np.ndarray) -> np.ndarray:
    """Return the memory that an array of positive strides spans as one flat array."""
    span = sum((length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True))
    if array.size == 0:
        return array.reshape(-1)
    return np.lib.stride_tricks.as_strided(array, (span // array.itemsize + 1,), (array.itemsize,))


def pack(weight: np.ndarray, threads: int = 1, keep: bool = True) -> Panels:
    """Cut a weight into panels.

    Args:
        weight: (K, Cin, Cout) float32 of any positive strides.
        threads: how many threads work at most.
        keep: the panels stay as they are; otherwise only until this thread packs the next weight, in memory that is
            used again and again.
    """
    offsets, rows, columns = weight.shape
    vectors = split_columns(columns, len(UNIT.rows), share=2)
    widths = vectors * _LANES
    size = offsets * rows * int(widths.sum())
    values = aligned_empty((size,)) if keep else scratch(size, "panels")
    offset_stride, row_stride, column_stride = (stride // weight.itemsize for stride in weight.strides)
    shape = (offsets, rows, columns, widths, values, np.zeros(1, np.int64))
    flat = _flat_view(weight)
    crew = crew_for(threads, numbers=size)
    if column_stride == 1 and row_stride > 1:
        share(lambda: _pack_rows(flat, offset_stride, row_stride, *shape), crew)
    else:
        strides = (offset_stride, row_stride, column_stride)
        share(lambda: _pack_columns(flat, *strides, *shape), crew)
    return Panels(values, vectors, offsets, rows, columns)
