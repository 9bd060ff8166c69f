"""Names of unfinished files, and the removal of those of processes that were killed."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from pathlib import Path

from mlreco.locks import try_lock

_MARK = ".unfinished"
_LONGEST = 100
_HOURS = 24
"""Hours after which an unfinished file counts as abandoned if the file system has no locks."""


def unfinished_file(final: Path) -> tuple[int, Path]:
    """Make the temporary file for another one, in its folder, locked as long as its handle is open.

    Args:
        final: the name that it gets when it is finished.

    Returns:
        Handle and path.

    Raises:
        OSError: it cannot be made.
    """
    handle, name = tempfile.mkstemp(prefix=_prefix(final), suffix=f"{_MARK}{final.suffix}", dir=final.parent)
    try_lock(handle)
    return handle, Path(name)


def remove_leftovers(final: Path) -> None:
    """Remove unfinished files of one final name whose writers are gone.

    Those of writers that are still at work are locked, and stay.

    Args:
        final: the name.
    """
    remove_leftovers_of(final.parent, re.escape(final.name[:_LONGEST]), final.suffix)


def remove_leftovers_of(folder: Path, names: str, suffix: str) -> None:
    """Remove unfinished files of several final names whose writers are gone.

    Those of writers that are still at work are locked, and stay.

    Args:
        folder: where they are.
        names: a pattern of the final names.
        suffix: of all of these names.
    """
    pattern = re.compile(rf"\.(?:{names})\.[a-z0-9_]{{8}}({re.escape(_MARK)})?{re.escape(suffix)}")
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if pattern.fullmatch(name):
                _remove(folder / name)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            locked = try_lock(handle)
            old = time.time() - os.fstat(handle).st_mtime > _HOURS * 3600
            if locked or (locked is None and old):
                path.unlink()
        finally:
            os.close(handle)


def _prefix(final: Path) -> str:
    return f".{final.name[:_LONGEST]}."
