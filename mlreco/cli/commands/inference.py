"""``mlreco inference CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.cli.options import add_config_options, add_weights, not_negative, output_file, read_config
from mlreco.cli.run_clock import told_once
from mlreco.console import remark, say
from mlreco.errors import UserError

if TYPE_CHECKING:
    from mlreco.config import Config
    from mlreco.inference import InferenceSummary

NAME = "inference"
HELP = "reconstruct events and write an HDF5 file"
DEFAULT_OUTPUT = Path("output.h5")
_OF_MANY = ("shard", "dask", "retries")
_OF_ONE = {"output": "--output", "events": "--events", "iterations": "--iterations", "profile": "--profile"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_options(parser)
    add_weights(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write (output.h5)")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    many = parser.add_argument_group("many files")
    many.add_argument(
        "--out-dir", type=Path, metavar="DIR", help="make an output a file in this folder, go on where it was ended"
    )
    many.add_argument("--shard", metavar="I/N", help="take the I-th of N parts of the files, from 1: for job arrays")
    many.add_argument(
        "--dask", metavar="WHERE", help="on a dask cluster: tcp://host:8786, or local:N for N processes of this machine"
    )
    many.add_argument(
        "--retries", type=not_negative, metavar="N", help="try a file again whose failure may not come again (2)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Reconstruct the events and say what was written.

    Raises:
        UserError: options that do not go together.
    """
    _check_options(arguments)
    recipe = read_config(arguments)
    weights = arguments.weights or recipe.checkpoint
    if arguments.out_dir is None:
        infer(recipe.config, arguments.output or DEFAULT_OUTPUT, weights, profile=arguments.profile)
    else:
        _produce(recipe.config, weights, arguments)


def _check_options(arguments: argparse.Namespace) -> None:
    given = {name for name, value in vars(arguments).items() if value not in (None, False)}
    if arguments.out_dir is None:
        for name in _OF_MANY:
            if name in given:
                raise UserError(f"--{name} goes with --out-dir DIR")
    for name, option in _OF_ONE.items():
        if arguments.out_dir is not None and name in given:
            raise UserError(f"{option} does not go with --out-dir, which reconstructs every file as a whole")


def _produce(config: Config, weights: Path | None, arguments: argparse.Namespace) -> None:
    """Reconstruct many files and report on them.

    Raises:
        UserError: some have no output.
    """
    from mlreco.production import parse_shard, produce

    shard = parse_shard(arguments.shard) if arguments.shard else None
    options = {"retries": arguments.retries} if arguments.retries is not None else {}
    manifest = produce(config, arguments.out_dir, weights=weights, shard=shard, cluster=arguments.dask, **options)
    say(f"{arguments.out_dir}: {manifest.summary()}")
    if manifest.problems():
        raise UserError("; ".join(manifest.problems()))


def infer(config: Config, output: Path, weights: Path | None, profile: bool = False) -> None:
    """Run an inference and report what was written and, on request, the time of each step."""
    output = output_file(output)

    from mlreco.inference import run_inference

    summary = run_inference(config, output, weights=weights)
    tell(output, summary)
    if profile:
        say(summary.profile())


def tell(output: Path, summary: InferenceSummary) -> None:
    """Report what was read, written and left out."""
    from mlreco.iotools.skipped import count_text, skipped_lines

    for text in (*summary.remarks, *skipped_lines(summary.skipped)):
        remark(text)
    for blob, reason in summary.left_out.items():
        remark(f"{blob} is left out: {reason}")
    rate = summary.events_out / max(summary.seconds, 1e-9)
    counts = f"{summary.events_out} of {summary.events_in} events"
    lost = f"; {count_text(summary.skipped)}" if summary.skipped else ""
    once = told_once(summary.compiling, summary.kernels)
    say(f"{output}: {counts} in {summary.seconds:.1f} s ({rate:.1f} events/s){once}{lost}")
