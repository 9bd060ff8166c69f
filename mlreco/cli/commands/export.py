"""``mlreco export OUTPUT.h5 --csv DIR``, ``--parquet DIR`` or ``--spine FILE``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.folders import make_output_folder
from mlreco.cli.options import output_file
from mlreco.console import say
from mlreco.errors import UserError

NAME = "export"
HELP = "write the events, particles and interactions of an output file as tables: CSV or Parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote")
    names = "events.{0}, particles.{0}, interactions.{0}, particles_true.{0} and skipped.{0}"
    parser.add_argument("--csv", type=Path, metavar="DIR", help=f"folder for {names.format('csv')}")
    parser.add_argument("--spine", type=Path, metavar="FILE", help="particles as objects of SPINE, for its reader")
    parser.add_argument("--parquet", type=Path, metavar="DIR", help=f"folder for {names.format('parquet')}")


def run(arguments: argparse.Namespace) -> None:
    """Write the tables, and say where they are.

    Raises:
        UserError: neither form is asked for, or a folder cannot be made.
    """
    folders = {form: folder for form in ("csv", "parquet") if (folder := getattr(arguments, form)) is not None}
    if not folders and arguments.spine is None:
        raise UserError("export: say --csv DIR, --parquet DIR or --spine FILE")
    if arguments.spine is not None:
        from mlreco.analysis.spine_file import write_spine_file

        events = write_spine_file(arguments.file, output_file(arguments.spine, arguments.file))
        say(f"{arguments.spine}: {events} events")
    if not folders:
        return

    from mlreco.analysis.tables import export_tables

    for form, folder in folders.items():
        make_output_folder(folder)
        for name, rows in export_tables(arguments.file, folder, form).items():
            say(f"{folder / name}: {rows} rows")
