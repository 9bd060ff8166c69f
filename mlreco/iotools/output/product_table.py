"""The table of a product in an output file: the rows of all events, and where each event begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from mlreco.iotools.output.layout import create_table, extend_table

_VALUES, _OFFSETS = "values", "event_offsets"


@dataclass(frozen=True)
class LinkedRows:
    """A product whose rows stay in other files.

    Attributes:
        dtype: type of the numbers.
        row_shape: shape of a row.
        offsets: where each event begins, (events + 1,), over all files.
        pieces: name of each file, from the folder of the new one, and how many rows it has.
    """

    dtype: np.dtype
    row_shape: tuple[int, ...]
    offsets: np.ndarray
    pieces: Sequence[tuple[str, int]]


class ProductTable:
    """A table that grows event by event; rows wait in memory until they are flushed.

    Args:
        group: the empty group of the product.
        row_shape: shape of a row.
        dtype: type of the numbers.
    """

    def __init__(self, group: h5py.Group, row_shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._offsets = create_table(group, _OFFSETS, (), np.dtype(np.int64))
        extend_table(self._offsets, np.zeros(1, dtype=np.int64))
        self._values = create_table(group, _VALUES, row_shape, dtype)
        self._row_shape, self._dtype = row_shape, dtype  # h5py is slow to look them up
        self._rows = 0
        self._waiting: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def check(self, values: np.ndarray) -> None:
        """Refuse rows of another shape, or of a type that cannot be cast.

        Raises:
            ValueError: tells both.
        """
        if values.shape[1:] != self._row_shape or not np.can_cast(values.dtype, self._dtype, "same_kind"):
            raise ValueError(
                f"{values.dtype} {values.shape} does not fit a table of {self._dtype} with rows {self._row_shape}"
            )

    def keep(self, values: np.ndarray, offsets: np.ndarray) -> None:
        """Add the rows of some events, which fit, and where each event begins in them, (events + 1,)."""
        self._waiting.append(values.astype(self._dtype))
        self._counts.append(np.diff(offsets))

    def flush(self) -> None:
        """Write the rows that wait."""
        if not self._waiting:
            return
        ends = self._rows + np.cumsum(np.concatenate(self._counts), dtype=np.int64)
        extend_table(self._values, np.concatenate(self._waiting))
        extend_table(self._offsets, ends)
        self._rows, self._waiting, self._counts = int(ends[-1]), [], []


def link_table(group: h5py.Group, linked: LinkedRows) -> None:
    """Make the table of a product whose rows stay in other files, in its empty group; it does not grow."""
    extend_table(create_table(group, _OFFSETS, (), np.dtype(np.int64)), linked.offsets)
    layout = h5py.VirtualLayout((int(linked.offsets[-1]), *linked.row_shape), linked.dtype)
    first = 0
    for file, rows in linked.pieces:
        if rows:
            source = h5py.VirtualSource(file, f"{group.name}/{_VALUES}", (rows, *linked.row_shape), linked.dtype)
            layout[first : first + rows] = source
        first += rows
    group.create_virtual_dataset(_VALUES, layout)
