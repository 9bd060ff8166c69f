"""``mlreco train CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.cli.options import add_config_options, add_resume, add_weights, read_config
from mlreco.console import say

if TYPE_CHECKING:
    from mlreco.config import Config

NAME = "train"
HELP = "train the chain of a configuration"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_options(parser)
    start = parser.add_mutually_exclusive_group()
    add_weights(start)
    add_resume(start)


def run(arguments: argparse.Namespace) -> None:
    """Train and say where the weights are."""
    train_and_tell(read_config(arguments), arguments.resume, arguments.weights)


def train_and_tell(config: Config, resume: str | None, weights: Path | None) -> None:
    """Train and say where the weights are."""
    from mlreco.training import train

    say(f"last checkpoint: {train(config, resume=resume, weights=weights)}")
