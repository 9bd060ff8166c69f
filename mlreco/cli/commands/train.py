"""``mlreco train CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.cli.options import (
    LATEST,
    LATEST_IF_ANY,
    add_config_options,
    add_resume,
    add_weights,
    positive_number,
    read_config,
)
from mlreco.console import say
from mlreco.errors import UserError
from mlreco.shipped import is_sample

if TYPE_CHECKING:
    from mlreco.config import Config

NAME = "train"
HELP = "train the chain of a configuration"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_options(parser, optional=True)
    parser.add_argument("--epochs", type=positive_number, metavar="N", help="trainval.epochs: passes over the events")
    start = parser.add_mutually_exclusive_group()
    add_weights(start)
    add_resume(start)


def run(arguments: argparse.Namespace) -> None:
    """Train and report where the weights are."""
    if arguments.config is None:
        if arguments.resume in (None, LATEST, LATEST_IF_ANY):
            raise UserError("the following arguments are required: CONFIG or --resume FILE (see 'mlreco train --help')")
        arguments.config = arguments.resume
    recipe = read_config(arguments)
    weights = arguments.weights or (None if arguments.resume else recipe.checkpoint)
    train_and_tell(recipe.config, arguments.resume, weights, bool(arguments.source))


def train_and_tell(config: Config, resume: str | None, weights: Path | None, sources_given: bool) -> None:
    """Train and report where the weights are.

    Raises:
        UserError: no events to train on were given.
    """
    from mlreco.config.sections.iotool import SIMULATED
    from mlreco.training import train

    dataset = config.iotool.dataset
    chosen = sources_given or resume not in (None, LATEST_IF_ANY) or dataset.get("name") == SIMULATED
    chosen = chosen or dataset.get("sources") is not None
    if not chosen and all(map(is_sample, dataset.data_keys)):
        raise UserError(
            "train on which events? say -s FILES, or iotool.dataset.data_keys in the configuration; the shipped sample "
            "(-s sample) is enough for a trial only"
        )
    say(f"last checkpoint: {train(config, resume=resume, weights=weights)}")
