"""Give the embedding of a trained network more dimensions, to go on training it with them.

    python tools/widen_embedding.py weights/thin/snapshot-1514.ckpt weights/thin/wide.ckpt --dimensions 6
    mlreco train thin_train -s more.h5 --weights weights/thin/wide.ckpt

What the head of the embedding computed stays as it is; rows of the new dimensions are drawn as torch draws those of a
new layer: with rows of 0 they would get no gradient, for voxels do not differ in them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from changed_weights import exit_status, write_changed

from mlreco.checkpoints.file import read_checkpoint
from mlreco.errors import UserError

HEAD = ".embedding_head.1."
"""The layer whose rows are three offsets, the margin and the further dimensions."""


def widened(weights: dict[str, torch.Tensor], dimensions: int, seed: int, path: Path) -> dict[str, torch.Tensor]:
    """Return weights of a network with more dimensions.

    Args:
        weights: state of a chain with ``spice`` or ``uresnet_spice``; the head has a row (channels) for each dimension
            and one for the margin.
        dimensions: wanted.
        seed: of the new rows.
        path: where the weights were read, for messages.

    Raises:
        UserError: there is no embedding, or it has as many dimensions.
    """
    name = next((name for name in weights if name.endswith(f"{HEAD}weight")), None)
    if name is None:
        raise UserError(f"{path}: has no embedding ('...{HEAD}weight'); it is no network of spice or uresnet_spice")
    there = len(weights[name]) - 1
    if dimensions <= there:
        raise UserError(f"{path}: its embedding has {there} dimensions; --dimensions is {dimensions}, not more")
    generator = torch.Generator().manual_seed(seed)
    channels = weights[name].shape[1]
    new = {}
    for end, shape in (("weight", (dimensions - there, channels)), ("bias", (dimensions - there,))):
        key = name.removesuffix("weight") + end
        rows = (2 * torch.rand(shape, generator=generator) - 1) / channels**0.5
        new[key] = torch.cat([weights[key], rows.to(weights[key].dtype)])
    return {**weights, **new}


def main() -> int:
    """Read, widen, write; return 2 where the checkpoint cannot be read or widened, or its copy not be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="file that 'mlreco train' wrote, or shipped weights")
    parser.add_argument("output", type=Path, help="file to write, for --weights")
    parser.add_argument("--dimensions", type=int, default=6, help="of the embedding (6)")
    parser.add_argument("--seed", type=int, default=0, help="of the new rows (0)")
    arguments = parser.parse_args()

    def work() -> None:
        content = read_checkpoint(arguments.checkpoint)
        weights = widened(content.get("state_dict", {}), arguments.dimensions, arguments.seed, arguments.checkpoint)
        write_changed(arguments.output, content, weights)

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
