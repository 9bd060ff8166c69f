"""``mlreco tune OUTPUT.h5``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.events import chosen_events, event_slice
from mlreco.cli.options import not_negative, output_file
from mlreco.console import say

NAME = "tune"
HELP = "search the thresholds of the clusterer that do best on the events of an output file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote, with labels")
    parser.add_argument(
        "--events",
        type=event_slice,
        default=slice(0, 100),
        metavar="N|A:B",
        help="the first N events, or events A to B - 1 (100)",
    )
    parser.add_argument(
        "--metric", default="ari", metavar="NAME", help="purity, efficiency, ari, ari_multi, ami or sbd (ari)"
    )
    parser.add_argument(
        "--min-voxels", type=not_negative, default=10, metavar="N", help="leave out smaller true instances (10)"
    )
    parser.add_argument(
        "--semantics",
        choices=("predicted", "true"),
        default="predicted",
        help="cluster in the classes of the file (predicted) or in the true ones",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers, and those of the grid, too")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("thresholds.yaml"),
        metavar="FILE",
        help="for post_processing.greedy_clusterer.thresholds (thresholds.yaml)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Search, write the thresholds and print the table."""
    from mlreco.atomic import atomic_path
    from mlreco.iotools import HDF5Reader
    from mlreco.post_processing.tuning import thresholds_text, tune, tuning_json, tuning_table

    output = output_file(arguments.output)
    source = str(arguments.file)
    with HDF5Reader(arguments.file) as reader:
        tuning = tune(
            reader,
            events=chosen_events(arguments.events, len(reader), source),
            metric=arguments.metric,
            min_voxels=arguments.min_voxels,
            semantics=arguments.semantics,
        )
    if arguments.json is not None:
        with atomic_path(output_file(arguments.json)) as temporary:
            temporary.write_text(tuning_json(tuning, source) + "\n", encoding="utf-8")
    with atomic_path(output) as temporary:
        temporary.write_text(thresholds_text(tuning, source), encoding="utf-8")
    say(tuning_table(tuning))
    say(f"written to {output}")
