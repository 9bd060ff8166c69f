"""``mlreco evaluate OUTPUT.h5``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlreco.cli.events import chosen_events, event_slice
from mlreco.cli.options import not_negative, output_file
from mlreco.console import say
from mlreco.errors import UserError

if TYPE_CHECKING:
    from mlreco.iotools import HDF5Reader
    from mlreco.iotools.skipped import Skipped
    from mlreco.post_processing.evaluation.failures import Failure
    from mlreco.post_processing.evaluation.found import FoundInstances
    from mlreco.post_processing.evaluation.interactions import InteractionEvaluation
    from mlreco.post_processing.evaluation.segmentation import SegmentationEvaluation
    from mlreco.post_processing.evaluation.summary import Evaluation
    from mlreco.post_processing.evaluation.tables import EventTable

NAME = "evaluate"
HELP = "compare reconstructed with true instances: purity, efficiency and ARI by class"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote")
    parser.add_argument(
        "--full", action="store_true", help="print means over instances, intervals, the sample and the worst events too"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file too")
    parser.add_argument(
        "--min-voxels", type=not_negative, default=10, metavar="N", help="leave out smaller true instances (10)"
    )
    parser.add_argument(
        "--semantics", choices=("true", "predicted"), default="true", help="whose classes the rows are (true)"
    )
    parser.add_argument(
        "-n", "--events", type=event_slice, metavar="N|A:B", help="the first N events, or events A to B - 1 (all)"
    )
    parser.add_argument(
        "--product", metavar="NAME", help="evaluate this product (instances; fragments where the file has no instances)"
    )
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="write a row for each event and class")
    parser.add_argument("--instances", type=Path, metavar="FILE.csv", help="write a row for each true instance")
    parser.add_argument(
        "--worst",
        type=not_negative,
        metavar="N",
        help="list the N worst events of each kind of failure (3 with --full)",
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


@dataclass(frozen=True)
class _Results:
    """The results of the evaluation of an output file.

    Attributes:
        evaluation: of its instances.
        segmentation: of its classes, where a network predicted them.
        corrected: of the classes that the graph network corrected, where one did.
        found: the true instances that were found, where the classes of predicted ones are known.
        interactions: evaluation of its interactions, where they are in the truth and a graph network made them.
        baselines: name -> evaluation of its fragments of the same events.
        tables: contingency tables behind ``evaluation``.
        failures: kind of failure -> the events in which it occurs.
        skipped: events of the input that are not in the file.
        warnings: of the inference.
    """

    evaluation: Evaluation
    segmentation: SegmentationEvaluation | None
    corrected: SegmentationEvaluation | None
    found: FoundInstances | None
    interactions: InteractionEvaluation | None
    baselines: dict[str, Evaluation]
    tables: list[EventTable]
    failures: dict[str, list[Failure]]
    skipped: Sequence[Skipped]
    warnings: list[str]


def run(arguments: argparse.Namespace) -> None:
    """Print the tables and write what was asked for."""
    from mlreco.post_processing.evaluation.tables import instance_rows, rows_text

    results = _evaluated(arguments)
    classes = results.evaluation.classes
    if arguments.json is not None:
        document = json.dumps(_document(results), indent=2, allow_nan=False)
        _write(arguments.json, document + "\n", arguments.file)
    if arguments.rows is not None:
        _write(arguments.rows, rows_text(results.evaluation.rows, classes), arguments.file)
    if arguments.instances is not None:
        _write(arguments.instances, rows_text(instance_rows(results.tables), classes), arguments.file)
    say(_text(results, arguments.full, arguments.worst))


def _evaluated(arguments: argparse.Namespace) -> _Results:
    from mlreco.iotools import HDF5Reader
    from mlreco.post_processing.baselines import evaluate_baselines, read_baseline_values
    from mlreco.post_processing.evaluation.evaluate import evaluate
    from mlreco.post_processing.evaluation.failures import find_failures
    from mlreco.post_processing.evaluation.found import evaluate_found
    from mlreco.post_processing.evaluation.interactions import evaluate_interactions
    from mlreco.post_processing.evaluation.segmentation import evaluate_corrected, evaluate_segmentation
    from mlreco.post_processing.evaluation.tables import event_tables

    given = read_baseline_values(arguments.baseline_values)
    thresholds = str(arguments.thresholds) if arguments.thresholds else None
    with HDF5Reader(arguments.file) as reader:
        options = {
            "min_voxels": arguments.min_voxels,
            "semantics": arguments.semantics,
            "events": chosen_events(arguments.events, len(reader), arguments.file) if arguments.events else None,
        }
        _require_labels(reader)
        segmentation = evaluate_segmentation(reader, options["events"])
        corrected = evaluate_corrected(reader, options["events"])
        counted = {"min_voxels": arguments.min_voxels, "events": options["events"]}
        found = evaluate_found(reader, instances=arguments.product, **counted)
        evaluation = evaluate(reader, fragments=arguments.product, **options)
        interactions = evaluate_interactions(reader, **counted)
        baselines = evaluate_baselines(reader, arguments.baselines, given=given, thresholds=thresholds, **options)
        tables = list(event_tables(reader, fragments=arguments.product, **options))
        skipped, warnings = reader.skipped, json.loads(reader.info.get("warnings", "[]"))
    return _Results(
        evaluation,
        segmentation,
        corrected,
        found,
        interactions,
        baselines,
        tables,
        find_failures(tables, evaluation.classes),
        skipped,
        warnings,
    )


def _document(results: _Results) -> dict[str, Any]:
    """Return the numbers as JSON can hold them."""
    from mlreco.post_processing.evaluation.bootstrap import intervals_dict

    document = {**results.evaluation.to_dict(), "intervals_68": intervals_dict(results.evaluation)}
    if results.segmentation is not None:
        document["segmentation"] = results.segmentation.to_dict()
    if results.corrected is not None:
        document["corrected_classes"] = results.corrected.to_dict()
    if results.found is not None:
        document["found"] = results.found.to_dict()
    if results.interactions is not None:
        document["interactions"] = results.interactions.to_dict()
    document["warnings"] = results.warnings
    document["failures"] = {kind: [asdict(one) for one in found] for kind, found in results.failures.items()}
    document["skipped"] = [asdict(one) for one in results.skipped]
    if results.baselines:
        document["baselines"] = {name: one.to_dict() for name, one in results.baselines.items()}
    return document


def _text(results: _Results, full: bool, worst: int | None) -> str:
    """Return the tables.

    Args:
        results: what they tell.
        full: whether all of them are wanted.
        worst: number of the worst events of each kind; None for as many as ``full`` shows.
    """
    from mlreco.iotools.skipped import count_text, skipped_lines
    from mlreco.post_processing.baselines import comparison_table
    from mlreco.post_processing.evaluation.failures import failures_table
    from mlreco.post_processing.evaluation.tables import interval_table, sample_table

    evaluation = results.evaluation
    parts = [f"warning: {text}" for text in results.warnings]
    segmentations = [one for one in (results.segmentation, results.corrected) if one is not None]
    parts += [one.table() for one in (segmentations if full else segmentations[-1:])]
    parts.append(evaluation.table())
    parts += [results.found.table()] if full and results.found is not None else []
    parts += [results.interactions.table()] if results.interactions is not None else []
    if results.baselines:
        parts.append(comparison_table([evaluation, *results.baselines.values()]))
    if full:
        parts += [evaluation.instances_table(), interval_table(evaluation), sample_table(evaluation)]
    worst = (3 if full else 0) if worst is None else worst
    if worst:
        parts.append(failures_table(results.failures, worst))
    if results.skipped:
        parts.append("\n".join([f"of the input: {count_text(results.skipped)}", *skipped_lines(results.skipped)]))
    if not full:
        parts.append("--full: means over instances, intervals, the sample, the worst events; 'mlreco report': figures")
    return "\n\n".join(parts)


def _require_labels(reader: HDF5Reader) -> None:
    """Check that the truth is in the file.

    Raises:
        UserError: it is not.
    """
    missing = [name for name in ("instances_true", "semantics_true") if name not in reader.products]
    if missing:
        raise UserError(
            f"{reader.path}: has no '{missing[0]}': it was made of events without labels, and nothing can be compared; "
            "'mlreco display' and 'mlreco export' show what was found"
        )


def _write(path: Path, text: str, source: Path) -> None:
    from mlreco.atomic import write_text

    write_text(output_file(path, source), text)
