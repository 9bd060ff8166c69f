"""Reads slices of rows of a table faster than h5py's own indexing."""

from __future__ import annotations

import h5py
import numpy as np
from isal import isal_zlib

_LARGEST_CHUNK = 1 << 24
"""Largest size in bytes of a chunk that is cached."""

_FILTERS = ([h5py.h5z.FILTER_DEFLATE], [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE])


def table_rows(table: h5py.Dataset) -> TableRows:
    """Return an object that reads rows of a one-dimensional table and keeps the table open."""
    return InflatedRows(table) if _can_be_inflated(table) else TableRows(table)


class TableRows:
    """Rows of a one-dimensional table by slice.

    Calls the HDF5 library directly: h5py's own indexing builds the types of the columns anew for each read, which
    takes several times as long as reading the few thousand rows of an event.

    Args:
        table: the table.
    """

    def __init__(self, table: h5py.Dataset) -> None:
        self._id = table.id
        self._dtype = table.dtype
        self._type = h5py.h5t.py_create(table.dtype)
        self._space = table.id.get_space()
        self._length = len(table)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, rows: slice) -> np.ndarray:
        count = rows.stop - rows.start
        values = np.empty(count, dtype=self._dtype)
        if count:
            self._space.select_hyperslab((rows.start,), (count,))
            self._id.read(h5py.h5s.create_simple((count,)), self._space, values, self._type)
        return values


class InflatedRows(TableRows):
    """Rows of a compressed table.

    Chunks are inflated here, by a faster library than HDF5 uses and without the interpreter's lock, so that a network
    in another thread does not wait. The last chunk is cached, since successive events share it.

    Args:
        table: the table, of the filters and types that ``table_rows`` asks for.

    Raises:
        OSError: (of ``[]``) a chunk is damaged.
    """

    def __init__(self, table: h5py.Dataset) -> None:
        super().__init__(table)
        self._chunk_rows = table.chunks[0]
        self._row_bytes = table.dtype.itemsize
        self._shuffled = table.shuffle
        self._kept = (-1, np.empty((0, self._row_bytes), np.uint8))

    def __getitem__(self, rows: slice) -> np.ndarray:
        found = np.empty((rows.stop - rows.start, self._row_bytes), np.uint8)
        if len(found):
            for number in range(rows.start // self._chunk_rows, (rows.stop - 1) // self._chunk_rows + 1):
                first = number * self._chunk_rows
                begin, end = max(rows.start, first), min(rows.stop, first + self._chunk_rows)
                found[begin - rows.start : end - rows.start] = self._chunk(number)[begin - first : end - first]
        return found.reshape(-1).view(self._dtype)

    def _chunk(self, number: int) -> np.ndarray:
        """Return the (rows, bytes of a row) of a chunk."""
        if self._kept[0] != number:
            self._kept = (number, self._inflated(number * self._chunk_rows))
        return self._kept[1]

    def _inflated(self, first: int) -> np.ndarray:
        size = self._chunk_rows * self._row_bytes
        skipped_filters, stored = self._id.read_direct_chunk((first,))
        if skipped_filters:
            rows = super().__getitem__(slice(first, min(first + self._chunk_rows, self._length)))
            return rows.view(np.uint8).reshape(-1, self._row_bytes)
        stream = isal_zlib.decompressobj()
        try:
            content = stream.decompress(stored, max_length=size)
        except isal_zlib.error as error:  # type: ignore[misc]  # its stub says an instance, not a class
            raise OSError(f"rows from {first}: {error}") from None
        if len(content) != size or not stream.eof:
            raise OSError(f"rows from {first}: {len(content)} bytes or more where a chunk has {size}")
        if self._shuffled:
            return np.frombuffer(content, np.uint8).reshape(self._row_bytes, self._chunk_rows).T
        return np.frombuffer(content, np.uint8).reshape(self._chunk_rows, self._row_bytes)


def _can_be_inflated(table: h5py.Dataset) -> bool:
    """Whether all chunks are there, of moderate size, with known filters, in the types of the rows in memory."""
    if not table.chunks or table.chunks[0] * table.dtype.itemsize > _LARGEST_CHUNK:
        return False
    settings = table.id.get_create_plist()
    filters = [settings.get_filter(number)[0] for number in range(settings.get_nfilters())]
    if filters not in _FILTERS or table.id.get_num_chunks() * table.chunks[0] < len(table):
        return False
    return bool(table.id.get_type().equal(h5py.h5t.py_create(table.dtype)))
