"""``mlreco info FILE...``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.options import positive
from mlreco.console import say
from mlreco.errors import UserError

NAME = "info"
HELP = "tell what files hold: events, products, voxels, instances, energies; of checkpoints what they were trained on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, patterns, folders, .txt lists, checkpoints")
    many = parser.add_mutually_exclusive_group()
    shown = "read the voxels of N events (100)"
    many.add_argument("-n", "--events", type=positive, default=100, metavar="N", help=shown)
    many.add_argument("--all", action="store_true", help="read the voxels of all events")
    parser.add_argument(
        "--check", action="store_true", help="read everything and compare the products; status 2 where some disagree"
    )
    parser.add_argument(
        "--class-scheme", default="pilarnet", metavar="NAME", help="classes of files that do not tell (pilarnet)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Describe each file."""
    from mlreco import shipped
    from mlreco.iotools import expand_sources
    from mlreco.iotools.filekind import ARCHIVE, file_kind
    from mlreco.iotools.output.events import OutputEventsReader
    from mlreco.iotools.survey import survey
    from mlreco.iotools.survey_text import output_lines, survey_lines
    from mlreco.semantics import class_scheme

    class_scheme(arguments.class_scheme)
    files = [shipped.sample(file) or file for file in arguments.files]
    for file in expand_sources(files):
        look_into = None if arguments.all else arguments.events
        if file_kind(file) == ARCHIVE:
            lines = _checkpoint_lines(file)
        elif OutputEventsReader.recognizes(file):
            lines = output_lines(file, look_into)
        else:
            lines = survey_lines(survey(file, look_into, arguments.class_scheme))
        say("\n".join(lines))
        if arguments.check and file_kind(file) != ARCHIVE:
            _check(file)


def _check(file: Path) -> None:
    """Read everything that a file holds, which compares checksums where there are some, and compare the products.

    Raises:
        UserError: something cannot be read, or products agree in most events and not in all.
    """
    from mlreco.iotools.agreement import compare_products, read_output

    comparisons = compare_products(file) if read_output(file) else []
    say("\n".join(f"  {one}" for one in comparisons) or "  there are no products that can be compared")
    doubtful = next((one for one in comparisons if one.suspicious), None)
    if doubtful is not None:
        raise UserError(f"{file}: event {doubtful.others[0]}: it does not hold that {doubtful.text}; changed since?")


def _checkpoint_lines(path: Path) -> list[str]:
    from mlreco.checkpoints.text import checkpoint_lines

    return checkpoint_lines(path)
