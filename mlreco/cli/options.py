"""Options that several commands share, and how they act on a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.atomic import refuse_to_replace
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.garbage import no_search_while_importing
from mlreco.numba_extensions import leave_out_numba_extensions

if TYPE_CHECKING:
    from mlreco.recipes import Recipe

LATEST = "latest"
"""Value of ``--resume`` without a file: the newest checkpoint of ``trainval.weight_prefix``."""


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the configuration file and the options that change what it says."""
    parser.add_argument(
        "config", metavar="CONFIG", help="configuration file, shipped name ('mlreco configs') or checkpoint"
    )
    parser.add_argument(
        "-s", "--source", nargs="+", metavar="FILE", default=[], help="files of events to read instead, or 'sample'"
    )
    parser.add_argument(
        "--set", action="append", metavar="a.b=c", default=[], dest="overrides", help="change a key; may be repeated"
    )
    parser.add_argument("--iterations", type=positive, metavar="N", help="trainval.iterations")
    parser.add_argument("--seed", type=int, metavar="N", help="trainval.seed")


def add_weights(parser: argparse._ActionsContainer) -> None:
    """Add the option for a checkpoint to start from."""
    parser.add_argument("--weights", type=Path, metavar="FILE", help="checkpoint with the weights of the whole chain")


def add_resume(parser: argparse._ActionsContainer) -> None:
    """Add the option to continue a training."""
    parser.add_argument(
        "--resume",
        nargs="?",
        const=LATEST,
        metavar="FILE",
        help="continue from a checkpoint; without FILE from the newest of trainval.weight_prefix",
    )


def positive(text: str) -> int:
    """Parse a positive integer."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, not '{text}'")
    return number


def not_negative(text: str) -> int:
    """Parse an integer from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer from 0, not '{text}'")
    return int(text)


def read_config(arguments: argparse.Namespace) -> Recipe:
    """Return the configuration that the options of `add_config_options` describe, and tell its notices.

    Returns:
        the configuration, and the checkpoint where it came from one.

    Raises:
        UserError: a mistake in the configuration or in an override.
    """
    overrides = list(arguments.overrides)
    if arguments.iterations is not None:
        overrides += ["trainval.epochs=null", f"trainval.iterations={arguments.iterations}"]
    if arguments.seed is not None:
        overrides.append(f"trainval.seed={arguments.seed}")
    with no_search_while_importing("torch"):
        from mlreco.recipes import read_recipe

        recipe = read_recipe(arguments.config, overrides, arguments.source)
    leave_out_numba_extensions()
    for notice in recipe.config.notices:
        remark(notice)
    return recipe


def output_file(path: Path, *inputs: Path) -> Path:
    """Return the path of a file to write, its folder made.

    Args:
        path: the file to write.
        inputs: files that the command reads.

    Raises:
        UserError: the path is a folder or one of the inputs, or its folder cannot be made.
    """
    refuse_to_replace(path, inputs)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made: {error.strerror}") from error
    return path
