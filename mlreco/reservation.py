"""A lock file that keeps other processes from writing the same files at the same time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mlreco.atomic import make_folder, write_failure
from mlreco.errors import UserError
from mlreco.locks import DO_WITHOUT, lock
from mlreco.provenance import host


@contextlib.contextmanager
def reserved(path: Path, doing: str, instead: str) -> Iterator[None]:
    """Keep other processes out of the same block; the lock file is gone afterwards.

    Args:
        path: the lock file; its folder is made.
        doing: what the other process does, for the message, with a place for who it is:
            ``another training{owner} writes checkpoints``.
        instead: what to do about it.

    Raises:
        UserError: another process is in the block, or the folder cannot be written.
    """
    make_folder(path.parent)
    with _locked(path, doing, instead) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {host()}\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path, doing: str, instead: str) -> IO[str]:
    """Return a file that is open and locked.

    Raises:
        UserError: another process has it, or it cannot be locked.
    """
    file = None
    try:
        while file is None or not _is_still(path, file.fileno()):  # its owner may have removed it meanwhile
            file = path.open("a+", encoding="utf-8")
            lock(file, exclusive=True)
        return file
    except BlockingIOError as error:
        if file is not None:
            file.close()
        raise UserError(f"{path}: {doing.format(owner=_owner(path))}; {instead}") from error
    except OSError as error:
        failure = write_failure(path, error)
        raise failure or UserError(f"{path}: cannot be locked: {error.strerror}; {DO_WITHOUT}") from error


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _owner(path: Path) -> str:
    """Return the owner that a lock file names: `` (process 12 on here)``."""
    with contextlib.suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        if text:
            return f" ({text})"
    return ""
