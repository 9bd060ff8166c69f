"""Which checkpoints stay: the last ones and the best."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from mlreco.atomic import atomic_path
from mlreco.training.prefix import checkpoints


def best_path(weight_prefix: str) -> Path:
    """Return the name of the best checkpoint."""
    return Path(f"{weight_prefix}-best.ckpt")


def keep_best(weight_prefix: str, checkpoint: Path) -> None:
    """Let the best checkpoint be this one, which is written.

    Raises:
        UserError: it cannot be written.
    """
    with atomic_path(best_path(weight_prefix)) as temporary:
        temporary.unlink()
        try:
            os.link(checkpoint, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(checkpoint, temporary)


def keep_last(weight_prefix: str, count: int | None) -> None:
    """Remove all numbered checkpoints but the last ones.

    Args:
        weight_prefix: ``trainval.weight_prefix``.
        count: how many stay; all if None.
    """
    for _, path in checkpoints(weight_prefix)[count:] if count else ():
        with contextlib.suppress(OSError):
            path.unlink()
