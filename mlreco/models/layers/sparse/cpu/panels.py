"""Weights laid out as the register tiles read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import gcd

import numpy as np
from numba import carray

from mlreco.models.layers.sparse.cpu.calls import AT_ONCE, Calls
from mlreco.models.layers.sparse.cpu.crew import crew_for
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


PACKING = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("offset_stride", "row_stride", "column_stride", "offsets", "rows", "columns"),
            *("widths", "width"),
        )
    ]
)
"""How a weight of a shape is packed; strides and widths, those of the column groups, count numbers."""
JOB = np.dtype([(name, np.int64) for name in ("counter", "packing", "weight", "panels")])


def _pack_columns_of(job_address: int, _: int) -> None:
    """Fill panels column by column, a vector of columns at a time; rows that follow each other in memory are fast."""
    job = carray(memory_at(job_address), 1, JOB)[0]
    call = carray(memory_at(job.packing), 1, PACKING)[0]
    weight, panels, widths = floats_at(job.weight), floats_at(job.panels), integers_at(call.widths)
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
                places = job.weight + 4 * source, job.panels + 4 * target
                transpose_squares((places[0], 4 * call.column_stride, places[1], 4 * width, squares))
            for row in range(squares * _LANES, call.rows):
                for column in range(inside):
                    place = source + row * call.row_stride + column * call.column_stride
                    panels[target + row * width + column] = weight[place]
                for column in range(inside, _LANES):
                    panels[target + row * width + column] = np.float32(0.0)


def _pack_rows_of(job_address: int, _: int) -> None:
    """Fill panels row by row where the columns of a row follow each other in memory."""
    job = carray(memory_at(job_address), 1, JOB)[0]
    call = carray(memory_at(job.packing), 1, PACKING)[0]
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
                source = floats_at(job.weight + 4 * (k * call.offset_stride + row * call.row_stride + first))
                target = floats_at(job.panels + 4 * (k * call.rows * call.width + call.rows * first + row * width))
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


@dataclass(frozen=True)
class Packing(HoldsAddresses):
    """How weights of a shape and of strides become panels.

    Attributes:
        shape: offsets, input channels and output channels.
        strides: of the weight, in numbers.
        may_stay: the panels are needed only as long as the weight stays as it is, so they may lie in its memory.
    """

    shape: tuple[int, int, int]
    strides: tuple[int, int, int]
    may_stay: bool

    @cached_property
    def vectors(self) -> np.ndarray:
        """(G,) int64, vectors of each column group."""
        return split_columns(self.shape[2], len(UNIT.rows), share=2)

    @cached_property
    def width(self) -> int:
        """Numbers in a row of all panels of an offset, the output channels rounded up to full vectors."""
        return _LANES * -(-self.shape[2] // _LANES)

    @cached_property
    def size(self) -> int:
        """Numbers of all panels, those that lie in the weight's memory included."""
        return self.shape[0] * self.shape[1] * self.width

    @cached_property
    def is_in_place(self) -> bool:
        """Whether the tiles read the weight where it is."""
        rows_are_whole = self._is_row_by_row and self.width == self.shape[2]
        return self.may_stay and rows_are_whole and _rows_fit(4 * self.strides[1], self.shape[1])

    @property
    def _is_row_by_row(self) -> bool:
        return self.strides[2] == 1 and self.strides[1] > 1

    @cached_property
    def kernel(self) -> SharedKernel:
        """What fills the panels."""
        return _pack_rows if self._is_row_by_row else _pack_columns

    @cached_property
    def _record(self) -> tuple[np.ndarray, ...]:
        widths = self.vectors * _LANES
        return job(*self.strides, *self.shape, address(widths), self.width), widths

    @cached_property
    def place(self) -> int:
        """Where a record of ``PACKING`` is."""
        return address(self._record[0])


packing = lru_cache(maxsize=None)(Packing)
"""The same ``Packing`` for the same arguments."""


def pack(weight: np.ndarray, threads: int = 1, keep: bool = True, calls: Calls = AT_ONCE) -> Panels:
    """Cut a weight into panels.

    Args:
        weight: (K, Cin, Cout) float32 of any positive strides.
        threads: how many threads work at most.
        keep: the panels stay as they are; otherwise only until the weight changes or this thread packs the next one:
            they are in memory that is used again and again, or in that of the weight.
        calls: makes the call that fills the panels.

    Raises:
        ValueError: the weight is not float32.
    """
    if weight.dtype != np.float32:
        raise ValueError(f"a weight of float32 is needed, not of {weight.dtype}")
    strides = tuple(stride // weight.itemsize for stride in weight.strides)
    plan = packing(weight.shape, strides, not keep)
    if plan.is_in_place:
        return Panels(weight, plan.vectors, *weight.shape, plan.width, strides[0], 1, strides[1])
    values = aligned_empty((plan.size,)) if keep else scratch(plan.size, "panels")
    numbers = job(0, plan.place, address(weight), address(values))
    calls(plan.kernel, numbers, crew_for(threads, numbers=plan.size), weight, values)
    rows = weight.shape[1]
    return Panels(values, plan.vectors, *weight.shape, plan.width, rows * plan.width, rows, 0)
