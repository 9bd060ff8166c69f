"""Tune every clusterer on one output file, evaluate it on another, write the numbers.

    python -m benchmarks.accuracy TUNE.h5 VALIDATION.h5 --name thin

Both files are outputs of ``mlreco inference`` with true classes (``model.modules.spice.semantics=true``), on events
that the weights were not trained on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy.split_and_joined import tune_split
from mlreco.atomic import write_text
from mlreco.inference.recluster import recluster
from mlreco.iotools import HDF5Reader
from mlreco.post_processing.evaluation.evaluate import evaluate
from mlreco.post_processing.evaluation.summary import ALL
from mlreco.post_processing.tuning import tune, tune_baseline, tune_linked

RESULTS = Path(__file__).resolve().parents[1] / "results"
METRICS = ("purity", "efficiency", "ari", "ari_multi", "sbd")


def candidates(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each way to cluster, tuned on a file: its name and its section ``post_processing``."""
    with HDF5Reader(path) as reader:
        options = {"events": range(len(reader)), "semantics": "true"}
        greedy = {name: one.after._asdict() for name, one in tune(reader, **options).classes.items()}
        yield "greedy", {"greedy_clusterer": {"thresholds": greedy}}
        yield "greedy, refined seeds", {"greedy_clusterer": {"thresholds": greedy, "refine_seeds": True}}
        joining = tune_split(reader, greedy, options["events"])
        split = "benchmarks.accuracy.split_and_joined:SplitAndJoined"
        yield "greedy, split and joined", {split: {"thresholds": greedy, "joining": joining}}
        linked = {name: one.thresholds._asdict() for name, one in tune_linked(reader, **options).classes.items()}
        yield "linked", {"linked_clusterer": {"thresholds": linked}}
        eps = tune_baseline(reader, "dbscan", **options).values()
        yield "DBSCAN", {"dbscan": {"eps": eps, "product": "fragments"}}


def evaluated(path: Path, section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the summary of every class, and of all, after clustering a file again."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output.h5"
        recluster(path, section, output)
        with HDF5Reader(output) as reader:
            found = evaluate(reader)
    return {name: found.summary(number) for number, name in (*enumerate(found.classes), (ALL, "all"))}


def markdown(numbers: Mapping[str, Mapping[str, Any]], head: str) -> str:
    """Return the table of a comparison."""
    lines = [head, "", "| class | clusterer | purity | efficiency | ARI | ARI multi | SBD | true | predicted |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for class_name in next(iter(numbers.values()))["classes"]:
        for method, one in numbers.items():
            values = one["classes"][class_name]
            cells = [f"{values[key]:.3f}" for key in METRICS]
            counts = [str(values[key]) for key in ("true_instances", "pred_instances")]
            lines.append(f"| {' | '.join([class_name, method, *cells, *counts])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tune", type=Path, help="output file to tune on")
    parser.add_argument("validation", type=Path, help="output file to evaluate on")
    parser.add_argument("--name", required=True, help="last part of the names of the files written")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, metavar="FOLDER")
    arguments = parser.parse_args()
    numbers = {}
    for name, section in candidates(arguments.tune):
        numbers[name] = {"post_processing": section, "classes": evaluated(arguments.validation, section)}
    with HDF5Reader(arguments.tune) as tuned, HDF5Reader(arguments.validation) as held_out:
        counts = len(tuned), len(held_out)
    today = datetime.datetime.now(datetime.timezone.utc).date()
    head = (
        f"# Clusterers on {arguments.name} events\n\n"
        f"Written by `python -m benchmarks.accuracy` on {today}: embeddings of the shipped weights in true classes, "
        f"every clusterer tuned for ARI on {counts[0]} events and evaluated on {counts[1]} others; means over events, "
        "true instances under 10 voxels left out."
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    stem, text = arguments.output / f"clusterers_{arguments.name}", markdown(numbers, head)
    document = {"date": str(today), "clusterers": numbers}
    write_text(stem.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
    write_text(stem.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
