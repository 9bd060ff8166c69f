"""Weights in the layout that the register tiles read: panels of a kernel offset and a column group."""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np
import torch

from mlreco.sparse.cpu.codegen.shared_memory import claim, floats_at, integers_at, record_at
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.codegen.transpose import transpose_squares
from mlreco.sparse.cpu.codegen.vector_code import LINE_BYTES
from mlreco.sparse.cpu.threads.calls import DIRECT, Calls
from mlreco.sparse.cpu.threads.crew import threads_worth
from mlreco.sparse.native.jit import SharedKernel
from mlreco.sparse.native.job import INT, OWN, RECORD, Job, Layout, Numbers
from mlreco.sparse.native.memory import Array, Scratch, floats

_LANES = UNIT.lanes
_panels = Scratch()
_SETS, _WAYS = 64, 8
"""Sets and ways of the first-level data cache of x86 processors, of lines of 64 bytes: 32 kB."""


@lru_cache
def split_columns(columns: int, widest: int, share: int = 1) -> np.ndarray:
    """Return the widths, in vectors, of the column groups into which a row is cut, (G,) int64.

    Widths differ by at most one. Where there are several groups, their number is a multiple of ``share``.

    Args:
        columns: numbers in a row.
        widest: most vectors in a group.
        share: number of threads among which the groups must be divisible.
    """
    vectors = -(-columns // UNIT.lanes)
    groups = -(-vectors // widest)
    if groups > 1:
        groups = -(-groups // share) * share
    split = np.array([vectors // groups + (i < vectors % groups) for i in range(groups)], dtype=np.int64)
    split.flags.writeable = False
    return split


PACKING = Layout(
    offset_stride=INT,
    row_stride=INT,
    column_stride=INT,
    offsets=INT,
    rows=INT,
    columns=INT,
    widths=Numbers(np.int64),
    width=INT,
)
"""How the panels of a weight of a given shape are made. Strides and the ``widths`` of column groups are in numbers, not
bytes."""
JOB = Layout(
    counter=OWN,
    packing=RECORD,
    weight=Numbers(np.float32, ("offsets", "rows", "columns"), any_strides=True),
    panels=Numbers(np.float32),
)
"""A weight whose panels are to be made."""
_PACKING, _JOB = PACKING.dtype, JOB.dtype


def _pack_columns_of(job_address: int, _: int) -> None:
    """Fill panels a vector of columns at a time; fast where consecutive rows are neighbours in memory."""
    job = record_at(job_address, _JOB)
    call = record_at(job.packing, _PACKING)
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
    """Fill panels row by row, where consecutive columns are neighbours in memory."""
    job = record_at(job_address, _JOB)
    call = record_at(job.packing, _PACKING)
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


def rows_fit(stride: int, rows: int) -> bool:
    """Tell whether the first-level cache holds a line of each of so many rows that are ``stride`` bytes apart.

    Where the stride has a large power of two as a factor, the lines of all rows fall into few sets of the cache. A
    quarter of these sets is left to other data.
    """
    places = _WAYS * _SETS // gcd(max(1, stride // LINE_BYTES), _SETS)
    return 4 * rows < 3 * places


class Packing:
    """How weights of a given shape and strides become panels.

    For every offset and column group a panel is Cin x (vectors x lanes) numbers, with zeros in columns beyond Cout.
    Panels stand one after another, unless the memory of the weight itself can serve as panels.

    Args:
        shape: offsets K, input channels Cin and output channels Cout.
        strides: of the weight, in numbers.
        may_lend: whether the memory of the weight may serve as panels; only where the weight does not change while the
            panels are in use.
        beside: input channels of the weight that fixes the column groups: this weight or another one.

    Attributes:
        offsets, rows, columns: the shape.
        sizes: the same as sizes of a job.
        vectors: (G,) int64, width of each column group in vectors.
        groups: the same numbers as a tuple.
        n_groups: G.
        width: numbers in a row of all panels of an offset, Cout rounded up to full vectors.
        size: numbers of all panels.
        lends: whether the memory of the weight serves as panels.
        source: fields of ``convolution_kernels.SOURCE``: ``channels``, Cin, and distances in numbers: ``offset_step``
            from an offset to the next; ``column_step`` from the panel of a column group to that of the next, divided by
            the width of the group; ``row_step`` from a row of a panel to the next, 0 where it is the width of the
            group.
        kernel: fills the panels.
        record: the ``PACKING`` structure.
        vectors_record: the vectors as a table for kernels.
    """

    def __init__(self, shape: tuple[int, int, int], strides: tuple[int, int, int], may_lend: bool, beside: int) -> None:
        self._arguments = shape, strides, may_lend, beside
        self.offsets, self.rows, self.columns = shape
        self.sizes = {"offsets": self.offsets, "rows": self.rows, "columns": self.columns}
        self.vectors = split_columns(self.columns, UNIT.widest(beside), share=2)
        self.groups = tuple(self.vectors.tolist())
        self.n_groups = len(self.groups)
        self.width = _LANES * -(-self.columns // _LANES)
        self.size = self.offsets * self.rows * self.width
        by_rows = strides[2] == 1 and strides[1] > 1
        rows_are_whole = by_rows and self.width == self.columns
        self.lends = may_lend and rows_are_whole and rows_fit(4 * strides[1], self.rows)
        offset, column, row = (strides[0], 1, strides[1]) if self.lends else (self.rows * self.width, self.rows, 0)
        self.source = {"channels": self.rows, "offset_step": offset, "column_step": column, "row_step": row}
        self.kernel = _pack_rows if by_rows else _pack_columns
        widths = self.vectors * _LANES
        self.vectors_record = Job.over(self.vectors)
        self.record = Job(
            PACKING,
            offset_stride=strides[0],
            row_stride=strides[1],
            column_stride=strides[2],
            offsets=self.offsets,
            rows=self.rows,
            columns=self.columns,
            widths=widths,
            width=self.width,
        )

    def __reduce__(self) -> tuple[type, tuple]:
        """Return constructor and arguments: a copy has tables of its own."""
        return type(self), self._arguments


_packing = lru_cache(maxsize=None)(Packing)


class Panels(NamedTuple):
    """A weight (K, Cin, Cout) cut into panels.

    Attributes:
        values: float32; the panels, or the weight whose memory serves as panels.
        packing: their layout.
    """

    values: torch.Tensor
    packing: Packing


def pack(weight: Array, keep: bool = True, calls: Calls = DIRECT, beside: int | None = None) -> Panels:
    """Cut a weight into panels.

    Args:
        weight: (K, Cin, Cout) float32 of any positive strides.
        keep: whether the panels are memory of their own. Otherwise they are scratch memory or that of the weight, valid
            until the weight changes or this thread calls ``pack`` again.
        calls: makes the call that fills the panels.
        beside: where a convolution has several weights, the input channels of the first, which fix the column groups.

    Raises:
        ValueError: the weight is not float32.
    """
    if not isinstance(weight, torch.Tensor):
        weight = torch.from_numpy(weight)
    if weight.dtype is not torch.float32:
        raise ValueError(f"a weight of float32 is needed, not of {weight.dtype}")
    if weight.ndim != 3 or not weight.is_cpu:
        raise ValueError(f"a weight (K, Cin, Cout) on the CPU is needed, not {tuple(weight.shape)} on {weight.device}")
    packing = _packing(weight.shape, weight.stride(), not keep, beside or weight.shape[1])
    if packing.lends:
        return Panels(weight, packing)
    size = packing.size
    values = floats(size) if keep else _panels.floats(size)
    job = Job(JOB, packing.sizes, packing=packing.record, weight=weight, panels=values)
    calls(packing.kernel, job, threads_worth(calls.threads, numbers=size))
    return Panels(values, packing)
