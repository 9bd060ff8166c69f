"""Which reader opens a file: by its content, or by name."""

from __future__ import annotations

from pathlib import Path

from mlreco.errors import UserError
from mlreco.iotools.filekind import content_of
from mlreco.iotools.interface import Reader
from mlreco.registry import Registry

READERS = Registry(
    "reader",
    {
        "fragments": "mlreco.iotools.output.graphs:FragmentReader",
        "larcv2": "mlreco.iotools.larcv2.reader:LArCV2Reader",
        "larcv3": "mlreco.iotools.larcv3.reader:LArCV3Reader",
        "output": "mlreco.iotools.output.events:OutputEventsReader",
        "pilarnet_m": "mlreco.iotools.pilarnet_m.reader:PILArNetMReader",
    },
    "mlreco.readers",
)
"""Readers by name. A reader class has ``recognizes(path) -> bool``."""


def open_reader(path: str | Path, name: str | None = None) -> Reader:
    """Open a file of events.

    Args:
        path: the file.
        name: name of a reader; without one every reader is asked whether it recognises the file.

    Raises:
        UserError: no such file, no such reader, or no reader for the file (the message says what it seems to be).
    """
    if name is not None:
        return READERS.get(name)(path)
    for candidate in map(READERS.get, READERS.names()):
        if candidate.recognizes(path):
            return candidate(path)
    raise UserError(f"{path}: no reader for this file; it seems to be {content_of(path)}")
