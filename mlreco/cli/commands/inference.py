"""``mlreco inference CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.cli.options import add_config_options, add_weights, output_file, read_config
from mlreco.console import remark, say

if TYPE_CHECKING:
    from mlreco.config import Config
    from mlreco.inference import InferenceSummary

NAME = "inference"
HELP = "reconstruct events and write an HDF5 file"
WORTH_TELLING = 0.5
"""Seconds of compiling that are told."""
DEFAULT_OUTPUT = Path("output.h5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_options(parser)
    add_weights(parser)
    parser.add_argument(
        "-o", "--output", type=Path, default=DEFAULT_OUTPUT, metavar="FILE", help="file to write (output.h5)"
    )
    parser.add_argument("--profile", action="store_true", help="print where the time goes")


def run(arguments: argparse.Namespace) -> None:
    """Reconstruct the events and say what was written."""
    recipe = read_config(arguments)
    infer(recipe.config, arguments.output, arguments.weights or recipe.checkpoint, profile=arguments.profile)


def infer(config: Config, output: Path, weights: Path | None, profile: bool = False) -> None:
    """Run inference and say what was written and, if asked, where the time went."""
    output = output_file(output)

    from mlreco.inference import run_inference

    summary = run_inference(config, output, weights=weights)
    tell(output, summary)
    if profile:
        say(summary.profile())


def tell(output: Path, summary: InferenceSummary) -> None:
    """Say what was read and written, and what was left out."""
    from mlreco.iotools.skipped import count_text, skipped_lines

    for text in (*summary.remarks, *skipped_lines(summary.skipped)):
        remark(text)
    for blob, reason in summary.left_out.items():
        remark(f"{blob} is left out: {reason}")
    rate = summary.events_out / max(summary.seconds, 1e-9)
    counts = f"{summary.events_out} of {summary.events_in} events"
    lost = f"; {count_text(summary.skipped)}" if summary.skipped else ""
    once = ""
    if summary.compiling > WORTH_TELLING:
        doing = "compiling kernels, once" if summary.kernels else "loading compiled kernels"
        once = f"; {doing}: {summary.compiling:.1f} s"
    say(f"{output}: {counts} in {summary.seconds:.1f} s ({rate:.1f} events/s){once}{lost}")
