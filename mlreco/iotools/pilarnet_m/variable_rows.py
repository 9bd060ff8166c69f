"""Reads rows of variable length of an HDF5 table, after a check that the file holds them.

The table of such rows holds, for each, a count of values and the place of these in a global heap. The HDF5 library
makes room for as many values as are counted before it looks whether they are there, gigabytes for a changed bit; here
the count is compared with the size of the object in the heap. The layout is that of the HDF5 file format specification,
version 3.0, sections III.E (global heap) and IV.A.2.d (variable-length data).
"""

from __future__ import annotations

import os
import struct

import h5py
import numpy as np
from isal import isal_zlib

_REFERENCE = np.dtype([("count", "<u4"), ("heap", "<u8"), ("object", "<u4")])
_HEAP = struct.Struct("<4sB3xQ")
"""Signature, version, size."""

_OBJECT = struct.Struct("<HH4xQ")
"""Number, references, size; number 0 is the free space at the end."""

_DECODED = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE)


class VariableRows:
    """Rows of a one-dimensional table of rows of variable length, by number.

    Args:
        table: the table; all of its chunks are there.
        handle: of the open file.

    Raises:
        ValueError: the rows are no numbers.
        OSError: a chunk of the table is damaged.
    """

    def __init__(self, table: h5py.Dataset, handle: int) -> None:
        self._table, self._handle = table, handle
        self._dtype = table.id.get_type().get_super().dtype
        if self._dtype.kind not in "iuf":
            raise ValueError(f"holds rows of {self._dtype} and no numbers")
        self._references = _references(table, handle)
        self._heap: tuple[int, bytes, dict[int, tuple[int, int]]] = (-1, b"", {})

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return the values of a row.

        Raises:
            ValueError: the file does not hold as many values as the row declares.
            OSError: the file cannot be read.
        """
        if self._references is None:
            if not self._dtype.isnative:
                raise ValueError("stands in the other byte order, which h5py reads wrongly in rows of variable length")
            return np.asarray(self._table[index])
        count, heap, number = self._references[index].tolist()
        if not count:
            return np.zeros(0, self._dtype)
        content, objects = self._opened_heap(heap)
        place, size = objects.get(number, (0, 0))
        if size != count * self._dtype.itemsize:
            raise ValueError(f"declares {count} values and holds {size / self._dtype.itemsize:g}")
        return np.frombuffer(content, self._dtype, count, place)

    def _opened_heap(self, address: int) -> tuple[bytes, dict[int, tuple[int, int]]]:
        """Return the bytes of a heap, and place and size of its objects by number; the heap read last is kept."""
        if self._heap[0] != address:
            content = _heap(self._handle, address)
            self._heap = (address, content, _objects(content))
        return self._heap[1:]


def _references(table: h5py.Dataset, handle: int) -> np.ndarray | None:
    """Return count and place of every row; None where they are stored in a form that only the library can read."""
    settings, file = table.id.get_create_plist(), table.file
    if file.id.get_create_plist().get_sizes()[0] != 8 or file.userblock_size or not len(table):
        return None
    if settings.get_layout() == h5py.h5d.CONTIGUOUS:
        raw = os.pread(handle, len(table) * _REFERENCE.itemsize, table.id.get_offset())
        return np.frombuffer(raw, _REFERENCE, len(table))
    filters = [settings.get_filter(number)[0] for number in range(settings.get_nfilters())]
    if settings.get_layout() != h5py.h5d.CHUNKED or not set(filters) <= set(_DECODED):
        return None
    rows = table.chunks[0]
    found = np.zeros(-(-len(table) // rows) * rows, _REFERENCE)
    for first in range(0, len(table), rows):
        skipped, stored = table.id.read_direct_chunk((first,))
        used = [code for number, code in enumerate(filters) if not skipped >> number & 1]
        found[first : first + rows] = _decoded(stored, used, rows)
    return found[: len(table)]


def _decoded(stored: bytes, filters: list[int], rows: int) -> np.ndarray:
    """Undo the filters of a chunk of references."""
    size, width = rows * _REFERENCE.itemsize, _REFERENCE.itemsize
    for code in reversed(filters):
        if code == h5py.h5z.FILTER_DEFLATE:
            try:
                stored = isal_zlib.decompressobj().decompress(stored, max_length=size + 1)
            except isal_zlib.error as error:  # type: ignore[misc]  # its stub says an instance, not a class
                raise OSError(f"the table of rows: {error}") from None
        else:
            whole = len(stored) // width * width
            stored = np.frombuffer(stored[:whole], np.uint8).reshape(width, -1).T.tobytes()
    if len(stored) != size:
        raise OSError(f"the table of rows: {len(stored)} bytes where a chunk has {size}")
    return np.frombuffer(stored, _REFERENCE)


def _heap(handle: int, address: int) -> bytes:
    """Return the bytes of a global heap.

    Raises:
        ValueError: there is none.
    """
    end = os.fstat(handle).st_size
    head = os.pread(handle, _HEAP.size, address) if address < end else b""
    signature, version, size = _HEAP.unpack(head) if len(head) == _HEAP.size else (b"", 0, 0)
    if signature != b"GCOL" or version != 1 or address + size > end:
        raise ValueError("points to a heap that is not there")
    return os.pread(handle, size, address)


def _objects(heap: bytes) -> dict[int, tuple[int, int]]:
    """Return place and size of the objects of a heap by number.

    Raises:
        ValueError: they do not fit into it.
    """
    objects: dict[int, tuple[int, int]] = {}
    position = _HEAP.size
    while position + _OBJECT.size <= len(heap):
        number, _, size = _OBJECT.unpack_from(heap, position)
        if number == 0:
            break
        objects[number] = (position + _OBJECT.size, size)
        position += _OBJECT.size + (size + 7) // 8 * 8
        if position > len(heap):
            raise ValueError("points to a heap whose objects do not fit into it")
    return objects
