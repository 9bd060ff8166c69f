"""Weights laid out as the register tiles read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import gcd

import numpy as np
from numba import carray

from mlreco.models.layers.sparse.cpu.crew import crew_for, share
from mlreco.models.layers.sparse.cpu.jit import SharedKernel
from mlreco.models.layers.sparse.cpu.memory import HoldsAddresses, address, aligned_empty, job, scratch
from mlreco.models.layers.sparse.cpu.shared_memory import claim, floats_at, integers_at, memory_at
from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.transpose import transpose_squares
from mlreco.models.layers.sparse.cpu.vector_code import LINE_BYTES

_LANES = UNIT.lanes
_SETS, _WAYS = 64, 8
"""Of the nearest cache, at least on processors of the x86 kind."""


@dataclass(frozen=True)
class Panels(HoldsAddresses):
    """A weight (K, Cin, Cout) cut into panels: for every offset and column group Cin x (vectors x lanes) numbers.

    Attributes:
        values: float32; the panels one after another, with zeros in columns beyond Cout, or a weight in whose own
            memory they are.
        vectors: (G,) int64, vectors of each column group.
        offsets: kernel offsets K.
        rows: input channels Cin.
        columns: output channels Cout.
        width: numbers in a row of all panels of an offset, Cout rounded up to full vectors.
        offset_step: numbers from an offset to the next.
        column_step: numbers from where the panel of a column group begins to the next, a column.
        row_step: numbers from a row of a panel to the next; 0 where rows follow each other.
    """

    values: np.ndarray
    vectors: np.ndarray
    offsets: int
    rows: int
    columns: int
    width: int
    offset_step: int
    column_step: int
    row_step: int

    @cached_property
    def address(self) -> int:
        """Where the panels begin."""
        return address(self.values)

    @cached_property
    def vectors_address(self) -> int:
        """Where the widths of the column groups begin."""
        return address(self.vectors)


@lru_cache
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
    split = np.array([vectors // groups + (i < vectors % groups) for i in range(groups)], dtype=np.int64)
    split.flags.writeable = False
    return split


_FIELDS = (
    *("counter", "weight", "offset_stride", "row_stride", "column_stride"),
    *("offsets", "rows", "columns", "widths", "width", "panels"),
)
_JOB = np.dtype([(name, np.int64) for name in _FIELDS])


def _pack_columns_of(job_address: int, _: int) -> None:
    """Fill panels column by column, a vector of columns at a time; rows that follow each other in memory are fast."""
    call = carray(memory_at(job_address), 1, _JOB)[0]
    weight, panels, widths = floats_at(call.weight), floats_at(call.panels), integers_at(call.widths)
    while True:
        first = claim(job_address) * _LANES
        if first >= call.columns:
            return
        group, before = 0, 0
        while first >= before + widths[group]:
            before += widths[group]
            group += 1
        width, inside = widths[group], min(_LANES, call.columns - first)
        squares = call.rows // _LANES if call.row_stride == 1 and inside == _LANES else 0
        for k in range(call.offsets):
            source = k * call.offset_stride + first * call.column_stride
            target = call.rows * (k * call.width + before) + first - before
            if squares:
                places = call.weight + 4 * source, call.panels + 4 * target
                transpose_squares((places[0], 4 * call.column_stride, places[1], 4 * width, squares))
            for row in range(squares * _LANES, call.rows):
                for column in range(inside):
                    place = source + row * call.row_stride + column * call.column_stride
                    panels[target + row * width + column] = weight[place]
                for column in range(inside, _LANES):
                    panels[target + row * width + column] = np.float32(0.0)


def _pack_rows_of(job_address: int, _: int) -> None:
    """Fill panels row by row where the columns of a row follow each other in memory."""
    call = carray(memory_at(job_address), 1, _JOB)[0]
    widths = integers_at(call.widths)
    while True:
        row = claim(job_address)
        if row >= call.rows:
            return
        for k in range(call.offsets):
            first, group = 0, 0
            while first < call.width:
                width = widths[group]
                inside = min(width, call.columns - first)
                source = floats_at(call.weight + 4 * (k * call.offset_stride + row * call.row_stride + first))
                target = floats_at(call.panels + 4 * (k * call.rows * call.width + call.rows * first + row * width))
                for column in range(inside):
                    target[column] = source[column]
                for column in range(inside, width):
                    target[column] = np.float32(0.0)
                first += width
                group += 1


_pack_columns, _pack_rows = SharedKernel(_pack_columns_of), SharedKernel(_pack_rows_of)


def _rows_fit(stride: int, rows: int) -> bool:
    """Tell whether the nearest cache holds a line of each of so many rows, ``stride`` bytes apart, beside other things.

    Rows whose distance has a large power of two among its factors share few of the places that a line may have.
    """
    places = _WAYS * _SETS // gcd(stride // LINE_BYTES, _SETS)
    return 4 * rows < 3 * places


def pack(weight: np.ndarray, threads: int = 1, keep: bool = True) -> Panels:
    """Cut a weight into panels.

    Args:
        weight: (K, Cin, Cout) float32 of any positive strides.
        threads: how many threads work at most.
        keep: the panels stay as they are; otherwise only until the weight changes or this thread packs the next one:
            they are in memory that is used again and again, or in that of the weight.

    Raises:
        ValueError: the weight is not float32.
    """
    if weight.dtype != np.float32:
        raise ValueError(f"a weight of float32 is needed, not of {weight.dtype}")
    offsets, rows, columns = weight.shape
    vectors = split_columns(columns, len(UNIT.rows), share=2)
    width = _LANES * -(-columns // _LANES)
    strides = [stride // weight.itemsize for stride in weight.strides]
    in_rows = strides[2] == 1 and strides[1] > 1
    if in_rows and width == columns and not keep and _rows_fit(4 * strides[1], rows):
        return Panels(weight, vectors, *weight.shape, width, strides[0], 1, strides[1])
    size = offsets * rows * width
    values = aligned_empty((size,)) if keep else scratch(size, "panels")
    widths = vectors * _LANES
    numbers = (0, address(weight), *strides, *weight.shape, address(widths), width, address(values))
    share(_pack_rows if in_rows else _pack_columns, job(*numbers), crew_for(threads, numbers=size))
    return Panels(values, vectors, offsets, rows, columns, width, rows * width, rows, 0)
