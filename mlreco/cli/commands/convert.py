"""``mlreco convert SRC... -o OUT.h5``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from mlreco.cli.options import output_file
from mlreco.console import remark, say

NAME = "convert"
HELP = "convert LArCV2, PILArNet-M and other event files to LArCV3, or to an uncompressed cache for training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("sources", nargs="+", metavar="SRC", help="files, patterns, folders or .txt lists of files")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.h5", help="file to write")
    parser.add_argument(
        "--to", choices=("larcv3", "cache"), default="larcv3", help="compressed, or the same uncompressed (larcv3)"
    )
    parser.add_argument("--products", nargs="+", default=[], metavar="NAME", help="products to keep (all)")


def run(arguments: argparse.Namespace) -> None:
    """Convert, and say how many events were written."""
    from mlreco.iotools.convert import convert

    output, started = output_file(arguments.output), time.perf_counter()
    done = convert(arguments.sources, output, arguments.to, arguments.products)
    for name in done.left_out:
        remark(f"{name} is left out: a kind of product that is not read")
    seconds = time.perf_counter() - started
    rate = f"{done.events} events in {seconds:.1f} s ({done.events / max(seconds, 1e-9):.0f} events/s)"
    say(f"{output}: {rate}; {', '.join(done.products)}")
