"""Unfinished HDF5 files that another process can continue from their last consistent state."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from mlreco.atomic import check_replaceable, publish, write_failure
from mlreco.errors import UserError
from mlreco.iotools.hdf5file import Sink, check_hdf5_name
from mlreco.iotools.partial_state import PartialState
from mlreco.iotools.undo_log import UndoLog, roll_back
from mlreco.leftovers import remove_leftovers
from mlreco.locks import DO_WITHOUT, lock

_SECONDS_BETWEEN_STATES = 5.0
"""An interrupted conversion loses this much work at most; a state costs some milliseconds of waiting for the disk."""


class _JournalledSink(Sink):
    """A sink that saves what it overwrites of the last consistent state."""

    def __init__(self, raw: Any, path: Path, log: UndoLog, size: int) -> None:
        super().__init__(raw, path)
        self.log, self.sound_size = log, size

    def write(self, data: Any) -> int:
        place = self._raw.tell()
        self._keep(place, place + memoryview(data).nbytes)
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self._keep(self._raw.tell() if size is None else size, self.sound_size)
        return super().truncate(size)

    def _keep(self, first: int, end: int) -> None:
        end = min(end, self.sound_size)
        if first >= end or self._error is not None:
            return
        try:
            self.log.keep(first, os.pread(self._raw.fileno(), end - first, first))
        except OSError as error:
            self._error = error


class PartialHDF5:
    """An HDF5 file that is being written.

    Attributes:
        file: the open file; it holds what an earlier process made, if any.
    """

    def __init__(self, file: h5py.File, sink: _JournalledSink, folder: Path, state: PartialState) -> None:
        self.file = file
        self._sink, self._folder, self._state = sink, folder, state
        self._last = time.monotonic()

    def check(self, keep: bool = False) -> None:
        """Raise if a write failed; from time to time, make the current state the last consistent one.

        What is written later is undone if the file is not finished.

        Args:
            keep: do so now, however short ago it was done.

        Raises:
            UserError: the disk is full, for example.
        """
        self._sink.check()
        if keep or time.monotonic() - self._last >= _SECONDS_BETWEEN_STATES:
            self._keep()

    def _keep(self) -> None:
        self.file.flush()
        self._sink.check()
        self._sink.synchronise()
        state = PartialState(self._state.number + 1, self._sink.size(), self._state.signature)
        try:
            state.write(self._folder / "state.json")
        except OSError as error:
            raise write_failure(self._folder, error) or error from error
        self._sink.log.close()
        self._sink.log.path.unlink(missing_ok=True)
        self._sink.log, self._sink.sound_size = UndoLog(_log(self._folder, state)), state.size
        self._state, self._last = state, time.monotonic()


def partial_folder(path: Path) -> Path:
    """Return the folder in which a file is while it is being written."""
    return path.with_name(f"{path.name}.part")


@contextlib.contextmanager
def partial_hdf5(
    path: Path, libver: tuple[str, str], signature: dict[str, Any], restart: bool = False
) -> Iterator[PartialHDF5]:
    """Open an HDF5 file that appears under its name when the block ends without an error.

    Until then it is in a folder beside, ``NAME.part``. Where the block or its process ends otherwise, the last
    consistent state of `PartialHDF5.check` stays, and the next call with the same signature continues it.

    Args:
        path: the final name.
        libver: oldest and newest version of the library that must be able to read the file.
        signature: what the file is made from and how, in JSON values.
        restart: discard what an earlier process wrote.

    Raises:
        UserError: the disk is full or the folder may not be written, another process is making the file, or what there
            is of it has another signature, or the name is that of another format.
    """
    folder, signature = partial_folder(path), json.loads(json.dumps(signature))
    check_hdf5_name(path)
    check_replaceable(path)
    with _telling(path):
        folder.mkdir(exist_ok=True)
        with _locked(folder, path):
            state = _sound_state(folder, signature, restart)
            try:
                with open(folder / "events.h5", "r+b" if state.number else "w+b", buffering=0) as raw:
                    sink = _JournalledSink(raw, path, UndoLog(_log(folder, state)), state.size)
                    with h5py.File(sink, "r+" if state.number else "w", libver=libver) as file:
                        yield PartialHDF5(file, sink, folder, state)
                        file.flush()
                    sink.check()
                publish(folder / "events.h5", path)
                remove_leftovers(path)
                shutil.rmtree(folder)
            except BaseException:
                if not (folder / "state.json").exists():
                    shutil.rmtree(folder, ignore_errors=True)
                raise


def _sound_state(folder: Path, signature: dict[str, Any], restart: bool) -> PartialState:
    """Return the last consistent state of a file, to which it is restored, or the empty state."""
    state = PartialState.read(folder / "state.json")
    if state is None or restart or not (folder / "events.h5").exists():
        for name in ("state.json", "events.h5"):
            (folder / name).unlink(missing_ok=True)
        state = PartialState(0, 0, signature)
    else:
        state.check_signature(signature, folder)
        roll_back(folder / "events.h5", _log(folder, state), state.size)
    for old in folder.glob("undo-*"):
        old.unlink()
    return state


def _log(folder: Path, state: PartialState) -> Path:
    return folder / f"undo-{state.number}"


@contextlib.contextmanager
def _locked(folder: Path, path: Path) -> Iterator[None]:
    with open(folder / "lock", "w") as file:
        try:
            lock(file, exclusive=True)
        except BlockingIOError:
            raise UserError(f"{path}: another process is making this file") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be locked: {error.strerror}; {DO_WITHOUT}") from error
        yield


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        failure = write_failure(path, error)
        if failure is None:
            raise
        raise failure from error
