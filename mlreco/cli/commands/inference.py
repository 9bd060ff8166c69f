"""``mlreco inference CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.options import add_config_options, add_weights, output_file, read_config
from mlreco.console import say

NAME = "inference"
HELP = "reconstruct events and write an HDF5 file"
DEFAULT_OUTPUT = Path("output.h5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_options(parser)
    add_weights(parser)
    parser.add_argument(
        "-o", "--output", type=Path, default=DEFAULT_OUTPUT, metavar="FILE", help="file to write (output.h5)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Reconstruct the events and say what was written."""
    config = read_config(arguments)
    output = output_file(arguments.output)

    from mlreco.inference import run_inference

    say(str(run_inference(config, output, weights=arguments.weights)))
