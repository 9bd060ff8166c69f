"""``mlreco export OUTPUT.h5 --csv DIR``, or ``--parquet DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.console import say
from mlreco.errors import UserError

NAME = "export"
HELP = "write the events, particles and interactions of an output file as tables: CSV or Parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote")
    names = "events.{0}, particles.{0}, interactions.{0}, particles_true.{0} and skipped.{0}"
    parser.add_argument("--csv", type=Path, metavar="DIR", help=f"folder for {names.format('csv')}")
    parser.add_argument("--parquet", type=Path, metavar="DIR", help=f"folder for {names.format('parquet')}")


def run(arguments: argparse.Namespace) -> None:
    """Write the tables, and say where they are.

    Raises:
        UserError: neither form is asked for, or a folder cannot be made.
    """
    folders = {form: folder for form in ("csv", "parquet") if (folder := getattr(arguments, form)) is not None}
    if not folders:
        raise UserError("export: say --csv DIR or --parquet DIR")

    from mlreco.analysis.tables import export_tables

    for form, folder in folders.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made: {error.strerror}") from error
        for name, rows in export_tables(arguments.file, folder, form).items():
            say(f"{folder / name}: {rows} rows")
