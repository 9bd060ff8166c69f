"""``mlreco log RUN...``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.options import output_file
from mlreco.console import say

NAME = "log"
HELP = "draw the curves of trainings on one page that needs no network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", type=Path, help="folder of logs (trainval.log_dir), or a CSV file"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("training.html"), metavar="FILE", help="page to write"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the page and say where it is."""
    from mlreco.atomic import write_text
    from mlreco.visualization.curves import curves_page
    from mlreco.visualization.training_logs import read_run

    runs = [read_run(path) for path in arguments.runs]
    write_text(output_file(arguments.output, *arguments.runs), curves_page(runs))
    say(f"curves of {len(runs)} {'run' if len(runs) == 1 else 'runs'}: {arguments.output.resolve()}")
