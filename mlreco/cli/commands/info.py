"""``mlreco info [FILE...]``."""

from __future__ import annotations

import argparse
from glob import has_magic
from pathlib import Path

from mlreco.cli.options import positive
from mlreco.console import say
from mlreco.errors import UserError, nearest

NAME = "info"
HELP = (
    "tell what files hold: events, products, voxels, instances, energies; of configurations their stages and weights; "
    "of checkpoints what they were trained on; without a file, what a run on this machine would use"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="files, patterns, folders, .txt lists, configurations, checkpoints, names",
    )
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
    """Describe each file, or the machine where none is given."""
    from mlreco.semantics import class_scheme

    class_scheme(arguments.class_scheme)
    if not arguments.files:
        _describe_machine(arguments)
    for word in arguments.files:
        for title, file in _named(word):
            _describe(title, file, arguments)


def _describe_machine(arguments: argparse.Namespace) -> None:
    """Report what a run would use.

    Raises:
        UserError: a file is to be read, but none is given.
    """
    from mlreco.cli.machine import machine_lines

    if arguments.check or arguments.all:
        raise UserError(f"--{'check' if arguments.check else 'all'}: give the files to read")
    say("\n".join(machine_lines()))


def _named(word: str) -> list[tuple[str | None, Path]]:
    """Return the files behind a word, each with its shipped name where it has one.

    Raises:
        UserError: there are none.
    """
    from mlreco import shipped
    from mlreco.iotools import expand_sources

    if word not in shipped.SAMPLES and Path(word).exists():
        return [(None, file) for file in expand_sources(word)]
    names = {**shipped.weights(), **shipped.configurations(), **shipped.samples()}
    if word in names:
        return [(word, names[word])]
    if Path(word).name == word and not Path(word).suffix and not has_magic(word):
        raise UserError(f"no file and no shipped name '{word}'{nearest(word, names)}")
    return [(None, file) for file in expand_sources(word)]


def _describe(title: str | None, file: Path, arguments: argparse.Namespace) -> None:
    """Report the content of a file; for a configuration also that of its checkpoints."""
    from mlreco.iotools.filekind import ARCHIVE, file_kind
    from mlreco.shipped import CONFIG_SUFFIXES

    if file_kind(file) == ARCHIVE or file.suffix in CONFIG_SUFFIXES:
        say("\n".join(_chain_lines(title, file, file.suffix in CONFIG_SUFFIXES)))
        return

    from mlreco.iotools.output.events import OutputEventsReader
    from mlreco.iotools.survey import survey
    from mlreco.iotools.survey_text import output_lines, survey_lines

    look_into = None if arguments.all else arguments.events
    if OutputEventsReader.recognizes(file):
        lines = output_lines(file, look_into)
    else:
        lines = survey_lines(survey(file, look_into, arguments.class_scheme))
    say("\n".join(lines))
    if arguments.check:
        _check(file)


def _chain_lines(title: str | None, file: Path, of_configuration: bool) -> list[str]:
    """Return what is said of a configuration and its checkpoints, or of a checkpoint."""
    from mlreco.checkpoints.text import checkpoint_lines

    if not of_configuration:
        return checkpoint_lines(file)

    from mlreco.recipe_text import recipe_lines

    lines, checkpoints = recipe_lines(file, title)
    return [*lines, *(line for one in checkpoints for line in checkpoint_lines(one))]


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
