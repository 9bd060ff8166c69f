"""HDF5 files that appear complete or not at all, even on a full disk."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from mlreco.atomic import atomic_path, write_failure
from mlreco.errors import UserError

_OTHER_FORMATS = {
    *(".root", ".csv", ".parquet", ".npy", ".npz", ".json", ".html", ".pdf", ".png", ".svg"),
    *(".cfg", ".yaml", ".yml", ".ckpt", ".pt", ".pth", ".txt", ".log"),
}


def check_hdf5_name(path: str | Path) -> None:
    """Refuse a name for a new HDF5 file that promises another format.

    Raises:
        UserError: its ending is that of one.
    """
    suffix = Path(path).suffix.lower()
    if suffix in _OTHER_FORMATS:
        raise UserError(f"{path}: would be written as HDF5, not as {suffix}; give it a name that ends in .h5")


class Sink:
    """A file for the HDF5 library that hides failed writes from it.

    The library cannot close a file whose writes fail: it tries again when the process ends, and crashes. So the first
    failure is remembered and later writes are dropped; the caller learns of it from ``check``.
    """

    def __init__(self, raw: io.FileIO, path: Path) -> None:
        self._raw, self._path = raw, path
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first failure.

        Raises:
            UserError: a write failed, by a full disk for example.
        """
        if self._error is not None:
            raise (write_failure(self._path, self._error) or self._error) from self._error

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as `io.RawIOBase.seek` does."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._raw.tell()

    def read(self, size: int = -1) -> bytes:
        """Read bytes."""
        return self._raw.read(size) or b""

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer and return how many bytes."""
        return self._raw.readinto(buffer) or 0

    def write(self, data: Any) -> int:
        """Write all of the data, or nothing after a failure."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while self._error is None and len(rest):
                rest = rest[self._raw.write(rest) :]
        except OSError as error:
            self._error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Cut the file off, or lengthen it."""
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def flush(self) -> None:
        """Pass on what is buffered."""
        self._raw.flush()

    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._raw.fileno()).st_size

    def synchronise(self) -> None:
        """Wait until what was written is on the disk.

        Raises:
            UserError: it cannot be written.
        """
        try:
            os.fsync(self._raw.fileno())
        except OSError as error:
            self._error = self._error or error
        self.check()


class AtomicFile:
    """An HDF5 file being written.

    Attributes:
        file: the open file.
    """

    def __init__(self, file: h5py.File, sink: Sink) -> None:
        self.file = file
        self._sink = sink

    def check(self, keep: bool = False) -> None:
        """Flush, and raise if a write failed.

        Args:
            keep: without effect here; a `PartialHDF5` then keeps what was written so far.

        Raises:
            UserError: the disk is full, for example.
        """
        self.file.flush()
        self._sink.check()


@contextlib.contextmanager
def atomic_hdf5(path: str | Path, libver: tuple[str, str]) -> Iterator[AtomicFile]:
    """Open an HDF5 file for writing that appears under its name when the block ends without an error.

    Args:
        path: the final name.
        libver: oldest and newest version of the library that must be able to read the file.

    Raises:
        UserError: the disk is full, the folder is missing or may not be written, or the name is that of another format.
    """
    check_hdf5_name(path)
    with atomic_path(path) as temporary, open(temporary, "r+b", buffering=0) as raw:
        sink = Sink(raw, Path(path))
        with h5py.File(sink, "w", libver=libver) as file:
            yield AtomicFile(file, sink)
            file.flush()
        sink.check()
