"""``mlreco fragments CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.commands.inference import tell
from mlreco.cli.options import add_config_options, add_weights, output_file, read_config

NAME = "fragments"
HELP = "reduce events to the graphs of their fragments, in a file to train the stage 'grappa' from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_options(parser)
    add_weights(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write")


def run(arguments: argparse.Namespace) -> None:
    """Cut the events and say what was written."""
    recipe, output = read_config(arguments), output_file(arguments.output)

    from mlreco.inference.fragment_cache import cache_fragments

    tell(output, cache_fragments(recipe.config, output, weights=arguments.weights or recipe.checkpoint))
