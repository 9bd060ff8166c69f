"""What the scripts that change the weights of a checkpoint share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mlreco.checkpoints.file import write_checkpoint
from mlreco.errors import UserError
from mlreco.inputs import noting_inputs

TOLD = ("iteration", "config", "mlreco_version", "metadata")
"""What a new file tells of the training, as the old one did. The optimiser's state is not that of other weights."""


def write_changed(output: Path, checkpoint: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
    """Write a checkpoint with other weights: what it tells of the training stays, its optimiser does not.

    Raises:
        UserError: the file cannot be written.
    """
    told = {key: checkpoint[key] for key in TOLD if key in checkpoint}
    write_checkpoint(output, {"state_dict": dict(weights), **told})


def exit_status(work: Callable[[], None]) -> int:
    """Do the work of a script; where it cannot be done, tell why in one line. Return 0, or 2 then."""
    try:
        with noting_inputs():
            work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
