"""Keeps the overwritten parts of an unfinished file, so that it can be restored to its last consistent state."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEAD = struct.Struct("<QII")
"""Header of a record: place in the file, number of bytes, their CRC-32."""


class UndoLog:
    """Old content of the parts of a file that are overwritten.

    A record is on the disk before its part of the file changes: where the process or the machine ends in between,
    nothing has changed yet, and the record's end is missing or its sum is wrong.

    Args:
        path: the log; made when the first record is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self._kept: set[tuple[int, int]] = set()

    def keep(self, place: int, content: bytes) -> None:
        """Save the content of a part of the file; only the first call for a part counts.

        Raises:
            OSError: the disk is full, for example.
        """
        part = (place, len(content))
        if not content or part in self._kept:
            return
        if self._handle is None:
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        record = memoryview(_HEAD.pack(place, len(content), zlib.crc32(content)) + content)
        while len(record):
            record = record[os.write(self._handle, record) :]
        os.fsync(self._handle)
        self._kept.add(part)

    def close(self) -> None:
        """Close the log; the records stay."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None


def roll_back(path: Path, log: Path, size: int) -> None:
    """Restore the content that a log has, and cut off what was appended; may be interrupted and repeated.

    Args:
        path: the file.
        log: records of an `UndoLog`; removed at the end. Without it nothing was overwritten.
        size: bytes of the file when the log was begun.

    Raises:
        OSError: a file cannot be read or written.
    """
    with open(path, "r+b", buffering=0) as file:
        for place, content in reversed(list(_records(log))):
            file.seek(place)
            file.write(content)
        file.truncate(size)
        os.fsync(file.fileno())
    log.unlink(missing_ok=True)


def _records(log: Path) -> Iterator[tuple[int, bytes]]:
    if not log.exists():
        return
    data, position = log.read_bytes(), 0
    while position + _HEAD.size <= len(data):
        place, count, checksum = _HEAD.unpack_from(data, position)
        content = data[position + _HEAD.size : position + _HEAD.size + count]
        if len(content) < count or zlib.crc32(content) != checksum:
            return
        yield place, content
        position += _HEAD.size + count
