"""``mlreco export OUTPUT.h5 --csv DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.console import say
from mlreco.errors import UserError

NAME = "export"
HELP = "write the events and fragments of an output file as CSV tables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote")
    parser.add_argument(
        "--csv",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for events.csv and fragments.csv",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the tables, and say where they are."""
    from mlreco.iotools.output.tables import export_tables

    try:
        arguments.csv.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{arguments.csv}: cannot be made: {error.strerror}") from error
    for name, rows in export_tables(arguments.file, arguments.csv).items():
        say(f"{arguments.csv / name}: {rows} rows")
