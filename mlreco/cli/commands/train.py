"""``mlreco train CONFIG``."""

from __future__ import annotations

import argparse

from mlreco.cli.options import add_config_options, add_resume, add_weights, read_config

NAME = "train"
HELP = "train the chain of a configuration"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_options(parser)
    start = parser.add_mutually_exclusive_group()
    add_weights(start)
    add_resume(start)


def run(arguments: argparse.Namespace) -> None:
    """Train."""
    config = read_config(arguments)

    from mlreco.training import train

    train(config, resume=arguments.resume, weights=arguments.weights)
