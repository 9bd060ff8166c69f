"""Which checkpoints stay: the last ones and the best."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from mlreco.atomic import atomic_path
from mlreco.checkpoints import metadata_of, read_checkpoint, write_checkpoint
from mlreco.inputs import let_replace
from mlreco.training.prefix import best_path, checkpoints
from mlreco.training.selection import Selection


def keep_best(weight_prefix: str, checkpoint: Path) -> None:
    """Make a checkpoint that has been written the best one.

    Raises:
        UserError: it cannot be written.
    """
    with atomic_path(best_path(weight_prefix)) as temporary:
        temporary.unlink()
        try:
            os.link(checkpoint, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(checkpoint, temporary)


def keep_best_with(weight_prefix: str, checkpoint: Path, numbers: Mapping[str, float], selection: Selection) -> None:
    """Make a checkpoint the best one that was written before its numbers were known.

    Args:
        weight_prefix: ``trainval.weight_prefix``.
        checkpoint: the file, which stays as it is.
        numbers: of its validation.
        selection: with which a training goes on from the best checkpoint.

    Raises:
        UserError: one cannot be read or the other not be written.
    """
    content = read_checkpoint(checkpoint)
    let_replace(checkpoint)
    told = metadata_of(content, checkpoint).model_copy(update={"numbers": dict(numbers)})
    content |= {"metadata": told.model_dump_json(), "selection": selection.state()}
    write_checkpoint(best_path(weight_prefix), content)


def keep_last(weight_prefix: str, count: int | None, spared: int = 0) -> None:
    """Remove all numbered checkpoints but the last ones.

    Args:
        weight_prefix: ``trainval.weight_prefix``.
        count: how many stay; all if None.
        spared: iteration of one that stays in any case.
    """
    for iteration, path in checkpoints(weight_prefix)[count:] if count else ():
        with contextlib.suppress(OSError):
            if iteration != spared:
                path.unlink()
