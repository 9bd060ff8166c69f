"""``mlreco evaluate OUTPUT.h5``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mlreco.cli.events import chosen_events, event_slice
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
    parser.add_argument(
        "--events", type=event_slice, metavar="N|A:B", help="the first N events, or events A to B - 1 (all)"
    )
    parser.add_argument(
        "--baselines",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help="compare with dbscan, dbscan_embedding, hdbscan_embedding, meanshift_embedding, greedy_original",
    )
    parser.add_argument(
        "--baseline-values",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="files that 'mlreco tune --baseline NAME' wrote",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    from mlreco.atomic import atomic_path
    from mlreco.iotools import HDF5Reader
    from mlreco.post_processing.baselines import comparison_table, evaluate_baselines, read_baseline_values
    from mlreco.post_processing.evaluation import evaluate

    given = read_baseline_values(arguments.baseline_values)
    with HDF5Reader(arguments.file) as reader:
        options = {
            "min_voxels": arguments.min_voxels,
            "semantics": arguments.semantics,
            "events": chosen_events(arguments.events, len(reader), arguments.file) if arguments.events else None,
        }
        evaluation = evaluate(reader, **options)
        baselines = evaluate_baselines(reader, arguments.baselines, given=given, **options)
    if arguments.json is not None:
        document = evaluation.to_dict()
        if baselines:
            document["baselines"] = {name: one.to_dict() for name, one in baselines.items()}
        with atomic_path(output_file(arguments.json)) as temporary:
            temporary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    say(evaluation.table())
    if baselines:
        say(f"\n{comparison_table([evaluation, *baselines.values()])}")
