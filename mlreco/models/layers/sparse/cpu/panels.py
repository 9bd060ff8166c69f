"""Weights laid out as the register tiles read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.models.layers.sparse.cpu.crew import share
from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.memory import aligned_empty
from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.tile import claim

_SMALL = 1 << 16
_TILE = 16


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
def _copy_offsets(
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
    size = rows * widths.sum()
    while True:
        k = claim(counter.ctypes.data)
        if k >= offsets:
            return
        place = k * size
        first = 0
        for width in widths:
            inside = min(width, columns - first)
            source = k * offset_stride + first * column_stride
            for row_0 in range(0, rows, _TILE):
                for column in range(inside):
                    start = source + column * column_stride
                    for row in range(row_0, min(rows, row_0 + _TILE)):
                        panels[place + row * width + column] = flat[start + row * row_stride]
            for row in range(rows):
                for column in range(inside, width):
                    panels[place + row * width + column] = np.float32(0.0)
            place += rows * width
            first += width


def _flat_view(array: np.ndarray) -> np.ndarray:
    """Return the memory that an array of positive strides spans as one flat array."""
    if array.size == 0:
        return array.reshape(-1)
    span = sum((length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True))
    step = array.itemsize
    return np.lib.stride_tricks.as_strided(array, (span // step + 1,), (step,))


def pack(weight: np.ndarray, threads: int = 1) -> Panels:
    """Cut a (K, Cin, Cout) float32 weight of any non-negative strides into panels."""
    offsets, rows, columns = weight.shape
    vectors = split_columns(columns, len(UNIT.rows), share=2)
    widths = vectors * UNIT.lanes
    values = aligned_empty((offsets * rows * int(widths.sum()),))
    flat = _flat_view(weight)
    strides = [stride // weight.itemsize for stride in weight.strides]
    counter = np.zeros(1, np.int64)
    arguments = (flat, *strides, offsets, rows, columns, widths, values, counter)
    share(lambda: _copy_offsets(*arguments), threads if weight.size > _SMALL else 1)
    return Panels(values, vectors, offsets, rows, columns)
