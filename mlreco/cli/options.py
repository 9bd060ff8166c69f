"""Options that several commands share, and their effect on the configuration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.atomic import check_replaceable, refuse_to_replace
from mlreco.cli.events import event_slice
from mlreco.cli.folders import make_output_folder
from mlreco.collector import collector_off_while_importing
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.remote import local_checkpoint

if TYPE_CHECKING:
    from mlreco.recipes import Recipe

ALL_EVENTS = 1 << 60
"""End of a range of events without one."""

LATEST = "latest"
"""Value of ``--resume`` without a file: the newest checkpoint of ``trainval.weight_prefix``."""


REFERENCE = "Keys of configurations: docs/configuration.md. Shipped configurations: mlreco configs."
LATEST_IF_ANY = "latest-if-any"
"""Value of ``--resume-or-start``: the same, or none where there is none."""


def add_config_options(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    """Add the configuration file and the options that change what it says.

    Args:
        parser: of the command.
        optional: whether the configuration may be left out.
    """
    parser.epilog = REFERENCE
    parser.add_argument(
        "config",
        metavar="CONFIG",
        nargs="?" if optional else None,
        help="configuration file, shipped name ('mlreco configs') or checkpoint",
    )
    parser.add_argument(
        "-s", "--source", nargs="+", metavar="FILE", default=[], help="files of events to read instead, or 'sample'"
    )
    parser.add_argument(
        "--set", action="append", metavar="a.b=c", default=[], dest="overrides", help="change a key; may be repeated"
    )
    parser.add_argument(
        "-n", "--events", type=event_slice, metavar="N|A:B", help="the first N events, or events A to B - 1 (all)"
    )
    parser.add_argument("--batch-size", type=positive, metavar="N", help="iotool.batch_size")
    parser.add_argument("--gpus", metavar="N", help="trainval.gpus: number of a GPU, or '' for the CPU")
    parser.add_argument("--iterations", type=positive, metavar="N", help="trainval.iterations")
    parser.add_argument("--seed", type=int, metavar="N", help="trainval.seed")


def add_weights(parser: argparse._ActionsContainer) -> None:
    """Add the option for a checkpoint to start from."""
    parser.add_argument(
        "--weights",
        type=local_checkpoint,
        metavar="FILE",
        help="checkpoint with the weights of the whole chain: a file, or URL#sha256=... (hf://owner/repository/file)",
    )


def add_resume(parser: argparse._ActionsContainer) -> None:
    """Add the option to continue a training."""
    parser.add_argument(
        "--resume",
        nargs="?",
        const=LATEST,
        metavar="FILE",
        help="continue from a checkpoint; without FILE from the newest of trainval.weight_prefix",
    )
    parser.add_argument(
        "--resume-or-start",
        action="store_const",
        const=LATEST_IF_ANY,
        dest="resume",
        help="as --resume where there is a checkpoint, else start: for jobs that are queued again",
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


def positive_number(text: str) -> float:
    """Parse a positive number."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, not '{text}'")
    return number


def not_negative(text: str) -> int:
    """Parse an integer from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer from 0, not '{text}'")
    return int(text)


def read_config(arguments: argparse.Namespace) -> Recipe:
    """Return the configuration that the options of `add_config_options` describe, and print its notices.

    Returns:
        the configuration, and the checkpoint where it came from one.

    Raises:
        UserError: a mistake in the configuration or in an override.
    """
    overrides = [*arguments.overrides, *_overrides(arguments)]
    with collector_off_while_importing("torch"):
        from mlreco.recipes import read_recipe

        recipe = read_recipe(arguments.config, overrides, arguments.source)
    for notice in recipe.config.notices:
        remark(notice)
    return recipe


def _overrides(arguments: argparse.Namespace) -> list[str]:
    """Return what the options say as ``--set`` would."""
    given = vars(arguments)
    words = []
    if given["iterations"] is not None:
        words += ["trainval.epochs=null", f"trainval.iterations={given['iterations']}"]
    if given.get("epochs") is not None:
        words += ["trainval.iterations=null", f"trainval.epochs={given['epochs']}"]
    if given["seed"] is not None:
        words.append(f"trainval.seed={given['seed']}")
    if given["batch_size"] is not None:
        words.append(f"iotool.batch_size={given['batch_size']}")
    if given["gpus"] is not None:
        words.append(f"trainval.gpus='{given['gpus']}'")
    if given["events"] is not None:
        last = ALL_EVENTS if given["events"].stop is None else given["events"].stop
        words.append(f"iotool.dataset.entry_range=[{given['events'].start}, {last}]")
    return words


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
    check_replaceable(path)
    make_output_folder(path.parent)
    return path
