"""Files that a command reads: only regular files, which the same command does not overwrite."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mlreco.errors import UserError

_KINDS = (
    (stat.S_ISDIR, "is a folder, not a file"),
    (stat.S_ISFIFO, "is a named pipe, not a file"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)

_PIECE = 1 << 20
_noted: dict[tuple[int, int], str] | None = None
"""Device and inode of each file that was read -> its name; None where nobody asked for a list."""


@contextlib.contextmanager
def noting_inputs() -> Iterator[None]:
    """List the files that are read within the block, so that no writer replaces them; nested blocks add to the list.

    A command is such a block, and a training. A program that calls the package may else read a file and then write a
    new one in its place.
    """
    global _noted
    before, _noted = _noted, dict(_noted or {})
    try:
        yield
    finally:
        _noted = before


def input_file(path: str | Path, what: str = "", missing: str = "no such file") -> os.stat_result:
    """Check that a file can be opened without waiting for ever, and note it.

    Args:
        path: the file.
        what: what it should be, for the message about something else: ``of events``.
        missing: the message where there is none.

    Raises:
        UserError: it is missing, a folder, a named pipe, a socket or a device.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise UserError(f"{path}: {missing}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    kind = _other_kind(found)
    if kind:
        raise UserError(f"{path}: {kind}{f' {what}' if what else ''}")
    if _noted is not None:
        _noted[found.st_dev, found.st_ino] = str(path)
    return found


def read_text(path: str | Path, most_bytes: int) -> str:
    """Return the text of a file, without a byte order mark.

    Args:
        path: the file.
        most_bytes: size up to which it is read.

    Raises:
        UserError: it cannot be read, is no UTF-8, or is larger.
    """
    size = input_file(path).st_size
    if size > most_bytes:
        raise UserError(f"{path}: has {size} bytes, more than the {most_bytes} that are read of a text")
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: cannot be read: it is no text") from None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hashed.update(piece)
    return hashed.hexdigest()


def storable(text: str) -> str:
    """Return a text as UTF-8 can hold it; names of files may have other bytes, and no text in a file ends with NUL."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")


def let_replace(path: str | Path) -> None:
    """Take a file from the list of those that were read: the command may write a new one in its place, or remove it."""
    with contextlib.suppress(OSError, ValueError):
        found = os.stat(path)
        if _noted is not None:
            _noted.pop((found.st_dev, found.st_ino), None)


def refuse_to_replace_inputs(path: str | Path, instead: str = "write to another file") -> None:
    """Check that a file to write is none that was read.

    Args:
        path: the file.
        instead: what to do instead, for the message.

    Raises:
        UserError: it is.
    """
    with contextlib.suppress(OSError, ValueError):
        found = os.stat(path)
        if _noted is not None and (found.st_dev, found.st_ino) in _noted:
            raise UserError(f"{path}: is an input of this command; {instead}")


def refuse_to_replace_others(path: str | Path) -> None:
    """Check that a file to write does not exist or is a regular file.

    Raises:
        UserError: there is a folder, a device or the like.
    """
    with contextlib.suppress(OSError, ValueError):
        kind = _other_kind(os.stat(path))
        if kind:
            raise UserError(f"cannot write {path}: it {kind}")


def _other_kind(found: os.stat_result) -> str:
    """Return the kind of something that is no regular file; an empty text for a regular file."""
    return next((text for is_kind, text in _KINDS if is_kind(found.st_mode)), "")
