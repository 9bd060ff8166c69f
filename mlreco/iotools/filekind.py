"""The kind of a file, recognised by its content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from mlreco.errors import UserError
from mlreco.inputs import input_file
from mlreco.iotools.hdf5_links import refuse_indirection
from mlreco.iotools.heap_guard import GuardedHDF5, PlainHDF5

ROOT_FILE = "a ROOT file (LArCV2 perhaps)"
"""Name of a ROOT file in ``file_kind``."""

LARCV3 = "LArCV3"
"""Name of a LArCV3 file in ``hdf5_content``."""

PILARNET_M = "PILArNet-M"
"""Name of a PILArNet-M file in ``hdf5_content``."""

OUTPUT_FILE = "an output file of mlreco or SPINE"
"""Name of an output file in ``hdf5_content``."""

ARCHIVE = "a zip archive (a PyTorch checkpoint or an npz file perhaps)"
"""Name of a checkpoint of torch in ``file_kind``."""

_MAGIC = {
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"root": ROOT_FILE,
    b"PK\x03\x04": ARCHIVE,
    b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "a gzip archive",
    b"\x89PNG": "a PNG image",
    b"%PDF": "a PDF document",
}


def file_kind(path: str | Path) -> str:
    """Return ``"HDF5"`` or a description of what else the file seems to be.

    Raises:
        UserError: the file is missing, is no regular file, is empty or may not be read.
    """
    input_file(path, "of events")
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if not head:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return "a text file" if _is_text(head) else "of an unknown kind"


def open_hdf5(path: str | Path, wanted: str, bulk: bool = False, merged: bool = False) -> h5py.File:
    """Open an HDF5 file for reading.

    Args:
        path: the file.
        wanted: what the file should be, for the message.
        bulk: open it the fast way. Only for files without texts and rows of variable length, which can hang the HDF5
            library where they are damaged.
        merged: as `refuse_indirection` has it.

    Raises:
        UserError: missing, truncated, damaged, or of another kind, which the message names.
    """
    kind = file_kind(path)
    if kind != "HDF5":
        raise UserError(f"{path}: not {wanted}; it seems to be {kind}")
    try:
        file = PlainHDF5(path) if bulk else GuardedHDF5(path)
    except OSError as error:
        text = str(error)
        if "truncated" in text:
            raise UserError(f"{path}: the file is truncated; copy or make it again") from None
        if isinstance(error, BlockingIOError):
            raise UserError(f"{path}: another process is writing this file") from None
        if isinstance(error, PermissionError):
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
        raise UserError(f"{path}: damaged HDF5 file: {text.splitlines()[0]}") from None
    try:
        with telling_damage(path):
            refuse_indirection(file, path, merged)
    except UserError:
        file.close()
        raise
    return file


@contextmanager
def telling_damage(path: str | Path) -> Iterator[None]:
    """Turn the exceptions of many types that h5py raises on damaged structures into a user's error.

    Raises:
        UserError: instead of another exception.
    """
    try:
        yield
    except (KeyError, OSError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        text = str(error.args[0] if error.args else error).splitlines()
        raise UserError(f"{path}: damaged HDF5 file: {text[0] if text else type(error).__name__}") from error


def content_of(path: str | Path) -> str:
    """Return what a file seems to be: of HDF5 files its content, as `hdf5_content` calls it.

    Raises:
        UserError: the file is missing, truncated or damaged.
    """
    kind = file_kind(path)
    if kind != "HDF5":
        return kind
    with open_hdf5(path, "a file of events", merged=True) as file, telling_damage(path):
        return hdf5_content(file)


def has_content(path: str | Path, content: str) -> bool:
    """Whether a file is HDF5 with that content, as `hdf5_content` calls it.

    Raises:
        UserError: the file is missing, truncated or damaged.
    """
    return content_of(path) == content


def hdf5_content(file: h5py.File) -> str:
    """Return a description of an open HDF5 file: LArCV3, our own output, PILArNet-M, or the names it holds."""
    names = sorted(file)
    if "Data" in names and "Events" in names:
        return LARCV3
    if "info" in names and file["info"].attrs.get("format") == "spine_hdf5":
        return OUTPUT_FILE
    if "point" in names and "cluster" in names:
        return PILARNET_M
    return f"HDF5 with {', '.join(names[:6]) or 'nothing in it'}"


def _is_text(head: bytes) -> bool:
    try:
        return head.decode("utf-8").isprintable() or b"\n" in head
    except UnicodeDecodeError:
        return False
