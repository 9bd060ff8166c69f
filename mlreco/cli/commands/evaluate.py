"""``mlreco evaluate OUTPUT.h5``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
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
        "--product", metavar="NAME", help="evaluate this product (instances; fragments where the file has no instances)"
    )
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="write a row for each event and class")
    parser.add_argument("--instances", type=Path, metavar="FILE.csv", help="write a row for each true instance")
    parser.add_argument(
        "--worst", type=not_negative, default=3, metavar="N", help="list the N worst events of each kind of failure (3)"
    )
    parser.add_argument(
        "--baselines",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help="compare with dbscan, dbscan_embedding, hdbscan_embedding, meanshift_embedding, greedy, greedy_original",
    )
    parser.add_argument(
        "--baseline-values",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="files that 'mlreco tune --baseline NAME' wrote",
    )
    parser.add_argument(
        "--thresholds", type=Path, metavar="FILE", help="for greedy and greedy_original: file that 'mlreco tune' wrote"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the tables and write what was asked for."""
    from mlreco.iotools import HDF5Reader
    from mlreco.iotools.skipped import count_text, skipped_lines
    from mlreco.post_processing.baselines import comparison_table, evaluate_baselines, read_baseline_values
    from mlreco.post_processing.evaluation import evaluate
    from mlreco.post_processing.evaluation_bootstrap import intervals_dict
    from mlreco.post_processing.evaluation_failures import failures_table, find_failures
    from mlreco.post_processing.evaluation_tables import (
        event_tables,
        instance_rows,
        interval_table,
        rows_text,
        sample_table,
    )

    given = read_baseline_values(arguments.baseline_values)
    thresholds = str(arguments.thresholds) if arguments.thresholds else None
    with HDF5Reader(arguments.file) as reader:
        options = {
            "min_voxels": arguments.min_voxels,
            "semantics": arguments.semantics,
            "events": chosen_events(arguments.events, len(reader), arguments.file) if arguments.events else None,
        }
        evaluation = evaluate(reader, fragments=arguments.product, **options)
        baselines = evaluate_baselines(reader, arguments.baselines, given=given, thresholds=thresholds, **options)
        tables = list(event_tables(reader, fragments=arguments.product, **options))
        skipped = reader.skipped
    failures = find_failures(tables, evaluation.classes)
    if arguments.json is not None:
        document = {**evaluation.to_dict(), "intervals_68": intervals_dict(evaluation)}
        document["failures"] = {kind: [asdict(one) for one in found] for kind, found in failures.items()}
        document["skipped"] = [asdict(one) for one in skipped]
        if baselines:
            document["baselines"] = {name: one.to_dict() for name, one in baselines.items()}
        _write(arguments.json, json.dumps(document, indent=2, allow_nan=False) + "\n", arguments.file)
    if arguments.rows is not None:
        _write(arguments.rows, rows_text(evaluation.rows, evaluation.classes), arguments.file)
    if arguments.instances is not None:
        _write(arguments.instances, rows_text(instance_rows(tables), evaluation.classes), arguments.file)
    parts = [evaluation.table(), interval_table(evaluation), sample_table(evaluation)]
    if baselines:
        parts.append(comparison_table([evaluation, *baselines.values()]))
    if arguments.worst:
        parts.append(failures_table(failures, arguments.worst))
    if skipped:
        parts.append("\n".join([f"of the input: {count_text(skipped)}", *skipped_lines(skipped)]))
    say("\n\n".join(parts))


def _write(path: Path, text: str, source: Path) -> None:
    from mlreco.atomic import write_text

    write_text(output_file(path, source), text)
