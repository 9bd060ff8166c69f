"""``mlreco merge OUT.h5 PART.h5 ...``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.options import output_file
from mlreco.console import say

NAME = "merge"
HELP = "make one output file of several, or of a production"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("output", metavar="OUT.h5", type=Path, help="file to write")
    parser.add_argument(
        "parts", metavar="PART", nargs="+", type=Path, help="output files, or the manifest of a production"
    )
    parser.add_argument(
        "--copy", action="store_true", help="copy the events; else OUT.h5 is small and names its parts beside it"
    )


def run(arguments: argparse.Namespace) -> None:
    """Merge and say what was written."""
    output = output_file(arguments.output, *arguments.parts)

    from mlreco.production.merge import merge

    events = merge(output, arguments.parts, arguments.copy)
    say(f"{output}: {events} events{'' if arguments.copy else ', whose rows stay in the parts'}")
