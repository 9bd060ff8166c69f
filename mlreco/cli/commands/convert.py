"""``mlreco convert SRC... -o OUT.h5``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.options import output_file
from mlreco.cli.run_clock import RunClock
from mlreco.console import remark, say
from mlreco.errors import UserError

NAME = "convert"
HELP = "convert LArCV2, PILArNet-M and other event files to LArCV3, or to an uncompressed cache for training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("sources", nargs="+", metavar="SRC", help="files, patterns, folders or .txt lists of files")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.h5", help="file to write")
    parser.add_argument(
        "--to", choices=("larcv3", "cache"), default="larcv3", help="compressed, or the same uncompressed (larcv3)"
    )
    parser.add_argument(
        "--restart", action="store_true", help="begin anew, where an interrupted conversion would be continued"
    )
    parser.add_argument("--products", nargs="+", default=[], metavar="NAME", help="products to keep (all)")


def run(arguments: argparse.Namespace) -> None:
    """Convert, and say how many events were written.

    Raises:
        UserError: a mistake in the input or the options; what is kept of the conversion is told before.
    """
    from mlreco.iotools.conversion import convert
    from mlreco.iotools.partial import partial_folder

    output, clock = output_file(arguments.output), RunClock()
    try:
        done = convert(arguments.sources, output, arguments.to, arguments.products, arguments.restart)
    except UserError:
        if partial_folder(output).exists():
            remark(f"{partial_folder(output)} keeps what is done; the same command continues, --restart begins anew")
        raise
    if done.continued:
        remark(f"continued after {done.continued} events")
    for name in done.left_out:
        remark(f"{name} is left out: a kind of product that is not read")
    seconds = clock.seconds()
    speed = (done.events - done.continued) / seconds
    rate = f"{done.events} events in {seconds:.1f} s ({speed:.0f} events/s)"
    say(f"{output}: {rate}; {', '.join(done.products)}{clock.once()}")
