"""``mlreco demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.options import output_file

NAME = "demo"
HELP = "reconstruct the shipped sample of events, print how well, and write a page that shows one of them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="folder for what is written (demo)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run inference, evaluate and display as a user would."""
    from mlreco.cli.entry import run_command

    output = output_file(arguments.output / "output.h5")
    run_command(["inference", "demo", "-o", str(output)])
    run_command(["evaluate", str(output), "--json", str(arguments.output / "evaluation.json")])
    run_command(["display", str(output), "--event", "0", "-o", str(arguments.output / "event_0.html")])
