"""``mlreco report OUTPUT.h5``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.events import chosen_events, event_slice
from mlreco.cli.options import not_negative, output_file
from mlreco.console import say

NAME = "report"
HELP = "write one page with the tables and figures of the paper and displays of the worst events"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="page to write (report.html)"
    )
    parser.add_argument(
        "--min-voxels", type=not_negative, default=10, metavar="N", help="leave out smaller true instances (10)"
    )
    parser.add_argument(
        "-n", "--events", type=event_slice, metavar="N|A:B", help="the first N events, or events A to B - 1 (all)"
    )
    parser.add_argument("--seed", type=not_negative, default=0, metavar="N", help="of the random events shown (0)")


def run(arguments: argparse.Namespace) -> None:
    """Write the page and say where it is."""
    from mlreco.iotools import HDF5Reader
    from mlreco.post_processing.evaluation.evaluate import evaluate
    from mlreco.visualization import write_report
    from mlreco.visualization.report import browser_path

    with HDF5Reader(arguments.file) as reader:
        events = chosen_events(arguments.events, len(reader), arguments.file) if arguments.events else None
        evaluation = evaluate(reader, min_voxels=arguments.min_voxels, events=events)
        page = output_file(arguments.output, arguments.file)
        write_report(reader, evaluation, page, events=events, seed=arguments.seed)
    say(f"report of {arguments.file}: {arguments.output.resolve()}")
    browser = browser_path(arguments.output)
    if browser.exists():
        say(f"its events: {browser.resolve()}")
