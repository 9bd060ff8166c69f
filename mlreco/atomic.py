"""Files appear under their final name complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlreco.errors import UserError, WriteError
from mlreco.inputs import refuse_to_replace_inputs, refuse_to_replace_others
from mlreco.leftovers import remove_leftovers, unfinished_file

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file grows past the size limit of this process",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "the folder does not exist",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EISDIR: "it is a folder",
    errno.EEXIST: "a file is in the way",
    errno.ENAMETOOLONG: "the name is too long",
}


def refuse_to_replace(output: str | Path, inputs: Iterable[str | Path]) -> None:
    """Check that a file to write is not one of those that are read.

    Raises:
        UserError: it is.
    """
    final = Path(output)
    for path in map(Path, inputs):
        if final.exists() and path.exists() and final.samefile(path):
            raise UserError(f"{output}: is an input of this command; write to another file")


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are missing.

    Raises:
        UserError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(path, error) or error from error


def write_failure(path: str | Path, error: BaseException) -> WriteError | None:
    """Translate a failed write into the user's words.

    HDF5 wraps the operating system's error, sometimes in a RuntimeError and with the number only in its text; so the
    text is searched as well.

    Args:
        path: the final name of the file that was being written.
        error: what was raised while writing.

    Returns:
        The error to raise, or None where the cause is not the disk, the folder or a permission.
    """
    if not isinstance(error, (OSError, RuntimeError)):
        return None
    number = getattr(error, "errno", None)
    reason = _REASONS.get(number) if number is not None else None
    if reason is None:
        text = str(error)
        reason = next((_REASONS[code] for code in _REASONS if f"errno = {code}," in text), None)
    return None if reason is None else WriteError(f"cannot write {path}: {reason}")


@contextlib.contextmanager
def atomic_path(path: str | Path, over_inputs: bool = False) -> Iterator[Path]:
    """Give a temporary path in the folder of ``path`` that becomes ``path`` when the block ends well.

    The temporary file has the same suffix. It is synchronised to the disk before it is renamed, and removed when the
    block raises; an older file under the final name is then untouched. Those of processes that were killed are removed
    by the next that writes the same name. Where the name is a symbolic link, the file that it leads to is replaced.

    Args:
        path: the final name.
        over_inputs: replace also a file that this command has read, such as the checkpoint that it resumed from.

    Yields:
        Path of the temporary file, which exists and is empty.

    Raises:
        UserError: the disk is full, the folder is missing or may not be written, something else than a regular file is
            in the way, or the file is an input of the running command.
    """
    final = Path(path)
    check_replaceable(final, over_inputs)
    handle: int | None = None
    temporary: Path | None = None
    try:
        target = Path(os.path.realpath(final))
        if final.name in ("", ".."):
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(final))
        remove_leftovers(target)
        handle, temporary = unfinished_file(target)
        yield temporary
        publish(temporary, target)
        temporary = None
    except (OSError, RuntimeError) as error:
        failure = write_failure(final, error)
        if failure is None:
            raise
        raise failure from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def check_replaceable(path: Path, over_inputs: bool = False) -> None:
    """Check what is in the place of a file to write.

    Args:
        path: the file.
        over_inputs: whether it may be one that the running command has read.

    Raises:
        UserError: something else than a regular file, or an input of the running command.
    """
    refuse_to_replace_others(path)
    if not over_inputs:
        refuse_to_replace_inputs(path)


def write_text(path: str | Path, text: str, over_inputs: bool = False) -> None:
    """Write a text file as a whole or not at all.

    Args:
        path: the file.
        text: its content.
        over_inputs: replace also a file that this command has read.

    Raises:
        UserError: as in ``atomic_path``.
    """
    with atomic_path(path, over_inputs) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of files may not be valid UTF-8


def publish(temporary: Path, final: Path) -> None:
    """Synchronise, give the usual permissions and rename; then synchronise the folder.

    Raises:
        OSError: one of these fails.
    """
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)
    synchronise(temporary)
    os.replace(temporary, final)
    with contextlib.suppress(OSError):
        synchronise(final.parent)


def synchronise(path: Path) -> None:
    """Wait until a file or a folder is on the disk.

    Raises:
        OSError: the disk fails.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
