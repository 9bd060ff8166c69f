"""The names of a training's checkpoints, and their protection from other trainings."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.inputs import let_replace, refuse_to_replace_inputs
from mlreco.leftovers import remove_leftovers_of
from mlreco.reservation import reserved as locked
from mlreco.training.checkpoints import Saved, read_training


def checkpoint_path(weight_prefix: str, iteration: int) -> Path:
    """Return the name of the checkpoint after so many iterations."""
    return Path(f"{weight_prefix}-{iteration}.ckpt")


def interrupted_path(weight_prefix: str) -> Path:
    """Return the name of the file that is there while a training waits to go on, saved when a batch system ended it.

    Launchers such as ``torchrun`` do not pass the exit status of a process on.
    """
    return Path(f"{weight_prefix}.interrupted")


def best_path(weight_prefix: str) -> Path:
    """Return the name of the best checkpoint."""
    return Path(f"{weight_prefix}-best.ckpt")


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
    """Keep other trainings from writing checkpoints under a prefix, and remove unfinished files of killed ones.

    Raises:
        UserError: another training writes there, or the folder cannot be written.
    """
    elsewhere = "choose another trainval.weight_prefix"
    with locked(Path(f"{weight_prefix}.lock"), "another training{owner} writes checkpoints of this name", elsewhere):
        prefix = Path(weight_prefix)
        remove_leftovers_of(prefix.parent, rf"{re.escape(prefix.name)}-(?:\d+|best)\.ckpt", ".ckpt")
        yield


def refuse_to_overwrite(weight_prefix: str) -> None:
    """Check that a new training finds no checkpoints of an earlier one under its names.

    Raises:
        UserError: it does.
    """
    best = best_path(weight_prefix)
    found = [*(path for _, path in checkpoints(weight_prefix)), *([best] if best.exists() else [])]
    if found:
        raise UserError(
            f"{found[0]}: from an earlier training; continue it with --resume, or choose another trainval.weight_prefix"
        )


def refuse_to_write_over_inputs(weight_prefix: str) -> None:
    """Check that none of the checkpoints of a prefix is a file that the training reads: it replaces or removes them.

    Raises:
        UserError: one is.
    """
    for path in (best_path(weight_prefix), *(path for _, path in checkpoints(weight_prefix))):
        refuse_to_replace_inputs(path, "choose another trainval.weight_prefix")


def training_to_resume(resume: str | Path, weight_prefix: str) -> Saved:
    """Return the checkpoint that a training continues, which it may then replace or remove.

    Args:
        resume: the file, or ``latest`` for the newest one of the prefix that can be read.
        weight_prefix: ``trainval.weight_prefix``.

    Raises:
        UserError: it cannot be read.
    """
    saved = newest_training(weight_prefix) if resume == "latest" else read_training(Path(resume))
    let_replace(saved.path)
    return saved


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
            let_replace(path)
    raise UserError(f"nothing to resume: none of the {len(found)} checkpoints of {weight_prefix} can be read")
