"""Refuses HDF5 files that refer to other files or to themselves.

External links, raw data stored in another file and virtual tables return the content of other files, so whoever sends
such a file could choose a file of the reader's machine to go into the output. A virtual table onto itself ends the
process in the HDF5 library.
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py

from mlreco.errors import UserError

_MOST_LINKS = 100_000
"""Groups and tables of a file; files of events have some dozens."""


def refuse_indirection(file: h5py.File, path: str | Path, merged: bool = False) -> None:
    """Refuse an open file that consists of anything but its own tables; nothing is read or followed.

    Args:
        file: the file.
        path: its name, for the message.
        merged: accept the virtual tables of a merged output file. For callers that read the parts that the file names
            instead of these tables (`mlreco.iotools.output.parts`).

    Raises:
        UserError: it holds an external or user-defined link, a virtual table, a table stored in another file, or too
            many links; names it.
    """
    links: list[tuple[bytes, int]] = []

    def note(name: bytes, info: h5py.h5l.LinkInfo) -> bool | None:
        links.append((name, info.type))
        return True if len(links) > _MOST_LINKS else None

    file.id.links.visit(note, info=True)
    if len(links) > _MOST_LINKS:
        raise UserError(f"{path}: has more than {_MOST_LINKS} groups and tables")
    passed_over = merged and "info" in file and "parts" in file["info"].attrs
    for name, kind in links:
        if kind == h5py.h5l.TYPE_HARD:
            rows = passed_over and re.fullmatch(rb"products/[^/]+/values", name)
            _refuse_foreign_storage(file, name, path, virtual=bool(rows))
        elif kind != h5py.h5l.TYPE_SOFT:
            raise UserError(f"{path}: {_text(name)} is a link to another file, which is not followed")


def _refuse_foreign_storage(file: h5py.File, name: bytes, path: str | Path, virtual: bool) -> None:
    found = h5py.h5o.open(file.id, name)
    if not isinstance(found, h5py.h5d.DatasetID):
        return
    settings = found.get_create_plist()
    if settings.get_layout() == h5py.h5d.VIRTUAL and not virtual:
        raise UserError(f"{path}: {_text(name)} is a virtual table, which is not followed; copy its rows into the file")
    if settings.get_external_count():
        raise UserError(f"{path}: the rows of {_text(name)} stand in another file, which is not read")


def _text(name: bytes) -> str:
    return f"'{name.decode('utf-8', 'backslashreplace')}'"
