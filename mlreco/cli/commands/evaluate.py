"""``mlreco evaluate OUTPUT.h5``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.options import not_negative, output_file
from mlreco.console import say

NAME = "evaluate"
HELP = "compare reconstructed with true instances: purity, efficiency and ARI by class"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file too")
    parser.add_argument(
        "--min-voxels", type=not_negative, default=10, metavar="N", help="leave out smaller true instances (10)"
    )
    parser.add_argument(
        "--semantics", choices=("true", "predicted"), default="true", help="whose classes the rows are (true)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    from mlreco.atomic import atomic_path
    from mlreco.iotools import HDF5Reader
    from mlreco.post_processing.evaluation import evaluate

    with HDF5Reader(arguments.file) as reader:
        evaluation = evaluate(reader, min_voxels=arguments.min_voxels, semantics=arguments.semantics)
    if arguments.json is not None:
        with atomic_path(output_file(arguments.json)) as temporary:
            temporary.write_text(evaluation.to_json() + "\n", encoding="utf-8")
    say(evaluation.table())
