"""``run.py CONFIG``, the form of lartpc_mlreco3d: trains or infers, as ``trainval.train`` says."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.commands.inference import DEFAULT_OUTPUT, infer
from mlreco.cli.commands.train import train_and_tell
from mlreco.cli.options import add_config_options, add_resume, add_weights, read_config
from mlreco.errors import UserError

NAME = "run-config"
HELP = "train or infer, as trainval.train in the configuration says"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of both."""
    parser.prog = "mlreco"
    add_config_options(parser)
    start = parser.add_mutually_exclusive_group()
    add_weights(start)
    add_resume(start)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write, for inference (output.h5)")


def run(arguments: argparse.Namespace) -> None:
    """Do what the configuration says.

    Raises:
        UserError: an option that does not go with it.
    """
    recipe = read_config(arguments)
    config = recipe.config
    if config.trainval.train:
        if arguments.output is not None:
            raise UserError("--output is for inference, but trainval.train is true; say 'mlreco inference CONFIG'")
        train_and_tell(config, arguments.resume, arguments.weights, bool(arguments.source))
        return
    if arguments.resume is not None:
        raise UserError("--resume is for training, but trainval.train is false; say 'mlreco train CONFIG'")
    infer(config, arguments.output or DEFAULT_OUTPUT, arguments.weights or recipe.checkpoint)
