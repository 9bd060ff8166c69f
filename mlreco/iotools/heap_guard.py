"""HDF5 files whose global heaps are checked as they are read.

Texts and rows of variable length stand in global heaps, which have no checksum. The HDF5 library (2.0) loops for ever
in a heap with an object of size 0 and cannot be stopped, so such heaps are refused before the library reads them.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import h5py

from mlreco.locks import lock

CACHE_BYTES = 4 << 20
"""Bytes of the chunk cache of each table."""

_SIGNATURE = b"GCOL"
_HEADER = struct.Struct("<4sB3xQ")
"""Header of a heap: signature, version, size."""

_OBJECT = struct.Struct("<HH4xQ")
"""Header of an object: number, references, size; number 0 is free space, whose size includes this header."""


class _CheckedFile(io.FileIO):
    """A file in which a damaged heap is read with a wrong signature, so that the HDF5 library refuses it."""

    def readinto(self, buffer: Any) -> int | None:
        place = self.tell()
        count = super().readinto(buffer)
        view = memoryview(buffer).cast("B")
        if view[:4] == _SIGNATURE and not heap_is_sound(self.fileno(), place):
            view[:4] = bytes(4)
        return count


class GuardedHDF5(h5py.File):
    """An HDF5 file open for reading; a damaged global heap raises OSError.

    Args:
        path: the file.

    Raises:
        OSError: the file cannot be opened, is damaged, or is locked by another process.
    """

    def __init__(self, path: str | Path) -> None:
        self._checked = _CheckedFile(path, "rb")
        try:
            lock(self._checked, exclusive=False)
            super().__init__(self._checked, "r", rdcc_nbytes=CACHE_BYTES)
        except BaseException:
            self._checked.close()
            raise

    @property
    def handle(self) -> int:
        """File descriptor, to read bytes that the library does not give access to."""
        return self._checked.fileno()

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._checked.close()


class PlainHDF5(h5py.File):
    """An HDF5 file open for reading by the library alone, which is faster.

    Args:
        path: the file.

    Raises:
        BlockingIOError: another process is writing it.
        OSError: the file cannot be opened or is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            super().__init__(path, "r", rdcc_nbytes=CACHE_BYTES)
        except OSError as error:
            if "lock" not in str(error):
                raise
            with open(path, "rb") as file:
                lock(file, exclusive=False)
            super().__init__(path, "r", rdcc_nbytes=CACHE_BYTES, locking=False)  # a file system without locks


def heap_is_sound(handle: int, place: int) -> bool:
    """Tell whether the objects of a global heap fill it without gaps.

    Args:
        handle: of the open file.
        place: where the heap begins.
    """
    head = os.pread(handle, _HEADER.size, place)
    if len(head) < _HEADER.size:
        return False
    _, version, size = _HEADER.unpack(head)
    position = _HEADER.size
    if version != 1 or place + size > os.fstat(handle).st_size:
        return False
    while position + _OBJECT.size <= size:
        number, _, count = _OBJECT.unpack(os.pread(handle, _OBJECT.size, place + position))
        step = _OBJECT.size + (count + 7) // 8 * 8 if number else count
        if step < _OBJECT.size or position + step > size:
            return False
        position += step
    return True
