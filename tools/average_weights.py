"""Average the weights of a training that went on with those that it began from.

    python tools/average_weights.py weights/grappa.ckpt weights/grappa_more/snapshot-1500.ckpt 0.75 weights/mean.ckpt

A short training can gain in one respect and lose in others; between its ends lies a choice (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models"). Batch normalisations keep the statistics of the mean only roughly.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from changed_weights import exit_status, write_changed

from mlreco.checkpoints.file import read_checkpoint
from mlreco.checkpoints.metadata import metadata_of
from mlreco.errors import UserError


def averaged(before: Path, after: Path, part: float) -> dict[str, Any]:
    """Return the content of the checkpoint with the mean.

    Args:
        before: the checkpoint that the training began from.
        after: a checkpoint of the training.
        part: weight of the latter, 0 to 1.

    Raises:
        UserError: a file is no checkpoint, the checkpoints are of different networks, or the part is none.
    """
    if not 0.0 <= part <= 1.0:
        raise UserError(f"the part is {part}; it is 0 to 1")
    first, last = (read_checkpoint(path) for path in (before, after))
    one, other = first["state_dict"], last["state_dict"]
    if {name: tensor.shape for name, tensor in one.items()} != {name: tensor.shape for name, tensor in other.items()}:
        raise UserError(f"{before} and {after} are weights of different networks")
    weights = {name: _mean(one[name], other[name], part) for name in other}
    metadata = metadata_of(last, after)
    if metadata.history:
        run = metadata.history[-1].model_copy(update={"averaged_with": f"{1 - part:.3g} of {before.name}"})
        metadata = metadata.model_copy(update={"history": (*metadata.history[:-1], run)})
    return {**last, "state_dict": weights, "metadata": metadata.model_dump_json()}


def _mean(one: torch.Tensor, other: torch.Tensor, part: float) -> torch.Tensor:
    """Return the mean of two tensors; of integers, which count iterations, the latter."""
    if not other.is_floating_point():
        return other
    return torch.lerp(one.float(), other.float(), part)


def main() -> int:
    """Read, average, write; return 2 where a checkpoint cannot be read or the mean not be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkpoint that the training began from")
    parser.add_argument("after", type=Path, help="checkpoint of the training")
    parser.add_argument("part", type=float, help="weight of the latter, 0 to 1")
    parser.add_argument("output", type=Path, help="file to write")
    arguments = parser.parse_args()

    def work() -> None:
        mean = averaged(arguments.before, arguments.after, arguments.part)
        write_changed(arguments.output, mean, mean["state_dict"])

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
