"""Table ``skipped`` of the output file: events and files of the input that are not in it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from mlreco.iotools.hdf5_tables import stored_table
from mlreco.iotools.skipped import WHOLE_FILE, Skipped

TABLE = "skipped"
_TEXT = h5py.string_dtype()
_ROW = np.dtype([("file", _TEXT), ("entry", np.int64), ("reason", _TEXT)])


def write_skipped(file: h5py.File, skipped: Sequence[Skipped], written: int) -> None:
    """Write the table, and the counts as attributes of ``/info``.

    The attributes are ``events_in``, the events of files that could be opened, ``events_skipped`` of them, and
    ``files_skipped``, of which it is not known how many events they have.

    Args:
        file: the output file.
        skipped: what was left out, texts as UTF-8 can hold them.
        written: number of events in the file.
    """
    rows = np.array([(one.file, one.entry, one.reason) for one in skipped], dtype=_ROW)
    file.create_dataset(TABLE, data=rows)
    events = sum(one.entry != WHOLE_FILE for one in skipped)
    counts = {"events_in": written + events, "events_skipped": events, "files_skipped": len(skipped) - events}
    file["info"].attrs.update(counts)


def read_skipped(file: h5py.File, path: Path) -> tuple[Skipped, ...]:
    """Return what was left out; nothing where an older file has no such table.

    Raises:
        ValueError: the table has other columns.
    """
    if TABLE not in file:
        return ()
    table = stored_table(file[TABLE], f"{path}: table '{TABLE}'")
    kinds = {name: table.dtype[name].kind for name in table.dtype.names or ()}
    if table.ndim != 1 or not {"file": "O", "entry": "i", "reason": "O"}.items() <= kinds.items():
        raise ValueError(f"table '{TABLE}' does not hold a file, an entry and a reason in each row")
    return tuple(Skipped(_text(row["file"]), int(row["entry"]), _text(row["reason"])) for row in table[()])


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
