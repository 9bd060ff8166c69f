"""The names of a training's checkpoints, and that no other training writes under them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mlreco.atomic import make_folder, write_failure
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.iotools.locks import DO_WITHOUT, lock
from mlreco.provenance import host
from mlreco.training.checkpoints import Saved, read_training


def checkpoint_path(weight_prefix: str, iteration: int) -> Path:
    """Return the name of the checkpoint after so many iterations."""
    return Path(f"{weight_prefix}-{iteration}.ckpt")


def checkpoints(weight_prefix: str) -> list[tuple[int, Path]]:
    """Return iteration and path of the checkpoints of a prefix, the newest first."""
    return sorted(_matching(weight_prefix, r"{name}-(\d+)\.ckpt"), reverse=True)


def _matching(weight_prefix: str, form: str) -> list[tuple[int, Path]]:
    prefix = Path(weight_prefix)
    pattern = re.compile(form.format(name=re.escape(prefix.name)))
    files = prefix.parent.iterdir() if prefix.parent.is_dir() else ()
    return [(int(match[1]), path) for path in files if (match := pattern.fullmatch(path.name))]


@contextlib.contextmanager
def reserved(weight_prefix: str) -> Iterator[None]:
    """Keep other trainings from writing checkpoints under a prefix, and clear away what killed ones left unfinished.

    Raises:
        UserError: another training writes there, or the folder cannot be written.
    """
    path = Path(f"{weight_prefix}.lock")
    make_folder(path.parent)
    with _locked(path) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {host()}\n")
        file.flush()
        _remove_leftovers(weight_prefix)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path) -> IO[str]:
    """Return a file that is open and locked.

    Raises:
        UserError: another process has it, or it cannot be locked.
    """
    try:
        file = path.open("a+", encoding="utf-8")
        lock(file, exclusive=True)
        while not _is_still(path, file.fileno()):  # who had it has removed it meanwhile
            file = path.open("a+", encoding="utf-8")
            lock(file, exclusive=True)
    except BlockingIOError as error:
        file.close()
        raise UserError(
            f"{path}: {_owner(path)} writes checkpoints of this name; choose another trainval.weight_prefix"
        ) from error
    except OSError as error:
        failure = write_failure(path, error)
        raise failure or UserError(f"{path}: cannot be locked: {error.strerror}; {DO_WITHOUT}") from error
    return file


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _owner(path: Path) -> str:
    with contextlib.suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        if text:
            return f"another training ({text})"
    return "another training"


def _remove_leftovers(weight_prefix: str) -> None:
    """Remove what trainings that were killed had begun to write."""
    for _, path in _matching(weight_prefix, r"\.{name}-(\d+)\.ckpt\.[a-z0-9_]{{8}}\.ckpt"):
        with contextlib.suppress(OSError):
            path.unlink()


def refuse_to_overwrite(weight_prefix: str) -> None:
    """Check that a new training finds no checkpoints of an earlier one under its names.

    Raises:
        UserError: it does.
    """
    found = checkpoints(weight_prefix)
    if found:
        raise UserError(
            f"{found[0][1]}: from an earlier training; continue it with --resume, or choose another "
            f"trainval.weight_prefix"
        )


def newest_training(weight_prefix: str) -> Saved:
    """Return the checkpoint of the highest iteration that can be read, and say which ones could not.

    Raises:
        UserError: there is none.
    """
    found = checkpoints(weight_prefix)
    if not found:
        raise UserError(f"nothing to resume: no checkpoint {weight_prefix}-<iteration>.ckpt (trainval.weight_prefix)")
    for _, path in found:
        try:
            return read_training(path)
        except UserError as error:
            remark(f"passed over {error}")
    raise UserError(f"nothing to resume: none of the {len(found)} checkpoints of {weight_prefix} can be read")
