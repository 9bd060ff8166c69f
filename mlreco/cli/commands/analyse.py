"""``mlreco analyse OUTPUT.h5 -o DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.folders import make_output_folder
from mlreco.console import say

NAME = "analyse"
HELP = "write figures, tables and numbers of physics from an output file, and a page with all of them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    names = "tracks, dedx, range_energy, michel, showers, pi0, efficiency, vertices"
    parser.add_argument(
        "--only", type=lambda text: text.split(","), metavar="NAME,...", help=f"some of the analyses: {names}"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print the numbers.

    Raises:
        UserError: the folder cannot be made, or as `mlreco.analysis.run.analyse_file`.
    """
    from mlreco.analysis.run import SUBJECTS, analyse_file

    make_output_folder(arguments.output)
    for name, numbers in analyse_file(arguments.file, arguments.output, arguments.only or SUBJECTS).items():
        for number in numbers:
            say(f"{name}: {number.text()}")
    say(f"page: {(arguments.output / 'index.html').resolve()}")
