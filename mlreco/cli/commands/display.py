"""``mlreco display OUTPUT.h5``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.options import not_negative, output_file
from mlreco.console import say
from mlreco.errors import UserError

NAME = "display"
HELP = "write the display of an event: an HTML page that needs no network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote")
    parser.add_argument(
        "--event", type=not_negative, default=0, metavar="N", help="which event of the file, from 0 (0)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="page to write (event_N.html)")


def run(arguments: argparse.Namespace) -> None:
    """Write the page and say where it is."""
    from mlreco.iotools import HDF5Reader
    from mlreco.visualization import write_event_display

    page = arguments.output or Path(f"event_{arguments.event}.html")
    with HDF5Reader(arguments.file) as reader:
        if arguments.event >= len(reader):
            raise UserError(f"{arguments.file}: no event {arguments.event}; the file has {len(reader)}, counted from 0")
        write_event_display(reader, arguments.event, output_file(page, arguments.file))
    say(f"event {arguments.event} of {arguments.file}: {page.resolve()}")
