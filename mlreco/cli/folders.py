"""Output folders that a command makes, and removes again if it fails before it has written anything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from mlreco.errors import UserError

_MADE: ContextVar[list[Path] | None] = ContextVar("folders made by the running command", default=None)


def make_output_folder(path: Path) -> None:
    """Make a folder and those above it where they are missing.

    Raises:
        UserError: it cannot be made.
    """
    made = _MADE.get()
    try:
        if made is not None:
            made.extend(folder for folder in (path, *path.parents) if not folder.exists())
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made: {error.strerror}") from error


@contextlib.contextmanager
def removing_unused_folders() -> Iterator[None]:
    """Remove the folders that were made within the block and are empty, if it raises."""
    made: list[Path] = []
    token = _MADE.set(made)
    try:
        yield
    except BaseException:
        for folder in sorted(made, key=lambda one: len(one.parts), reverse=True):
            with contextlib.suppress(OSError):  # not empty, or never made
                folder.rmdir()
        raise
    finally:
        _MADE.reset(token)
