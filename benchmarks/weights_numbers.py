"""Tune both clusterers for a set of weights and write the numbers they reach, with a tuned DBSCAN in the same table.

    python benchmarks/weights_numbers.py config/thin.cfg --tune TUNE.h5 --validation VALIDATION.h5 --name thin

writes ``config/weights/<name>_linked.yaml``, ``<name>_thresholds.yaml`` (of the greedy clusterer),
``<name>_dbscan.yaml``, ``<name>_<semantics>.json`` for clustering in true and in predicted classes, and ``<name>.md``,
the tables. The weights were neither trained nor evaluated on TUNE.h5.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
METRICS = ("purity", "efficiency", "ari", "ari_multi")


def mlreco(*words: object) -> None:
    """Run a command of the program."""
    subprocess.run([sys.executable, str(ROOT / "bin" / "run.py"), *map(str, words)], check=True)


def reconstruct(
    arguments: argparse.Namespace, source: Path, output: Path, semantics: str, thresholds: Path | None
) -> None:
    """Run the chain on a file, clustering in true or predicted classes, with given thresholds or the default ones."""
    words = ["inference", arguments.config, "-s", source, "-o", output]
    words += ["--set", f"model.modules.spice.semantics={semantics}"]
    clusterer = "{}" if thresholds is None else f"{{thresholds: {thresholds}}}"
    words += ["--set", f"post_processing={{linked_clusterer: {clusterer}}}"]
    if arguments.weights:
        words += ["--weights", arguments.weights]
    mlreco(*words)


def cell(summary: dict, metric: str) -> str:
    """Return a number of a summary for a table; a dash where it is not defined."""
    return "-" if summary[metric] is None else f"{summary[metric]:.3f}"


def table(document: dict) -> list[str]:
    """Return the rows of a Markdown table of an evaluation and its baselines."""
    lines = ["| class | clusterer | purity | efficiency | ARI | ARI multi | events | multi | true | predicted |"]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    methods = {"linked": document, **document.get("baselines", {})}
    for class_name in [*document["classes"], "all"]:
        for method, numbers in methods.items():
            summary = numbers["all"] if class_name == "all" else numbers["classes"][class_name]
            counts = [summary[name] for name in ("events", "events_multi", "true_instances", "pred_instances")]
            cells = [class_name, method, *[cell(summary, metric) for metric in METRICS], *map(str, counts)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Run the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="chain with weights")
    parser.add_argument("--tune", type=Path, required=True, help="events for the thresholds")
    parser.add_argument("--validation", type=Path, required=True, help="events for the numbers")
    parser.add_argument("--name", required=True, help="first part of the names of the files written")
    parser.add_argument("--keep-tuned", action="store_true", help="take the thresholds of the last time")
    parser.add_argument("--weights", type=Path, help="as for mlreco inference")
    parser.add_argument("--out", type=Path, default=ROOT / "config" / "weights")
    arguments = parser.parse_args()
    linked, greedy, dbscan = (
        arguments.out / f"{arguments.name}_{method}.yaml" for method in ("linked", "thresholds", "dbscan")
    )
    lines = [f"# What the {arguments.name} weights reach", ""]
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.keep_tuned:
            held_apart = Path(folder) / "tune.h5"
            reconstruct(arguments, arguments.tune, held_apart, "true", None)
            mlreco("tune", held_apart, "--semantics", "true", "--clusterer", "linked", "-o", linked)
            mlreco("tune", held_apart, "--semantics", "true", "-o", greedy)
            mlreco("tune", held_apart, "--semantics", "true", "--baseline", "dbscan", "-o", dbscan)
        for semantics in ("true", "predicted"):
            output = Path(folder) / f"{semantics}.h5"
            numbers = arguments.out / f"{arguments.name}_{semantics}.json"
            reconstruct(arguments, arguments.validation, output, semantics, linked)
            words = ["--baselines", "greedy,dbscan", "--thresholds", greedy, "--baseline-values", dbscan]
            mlreco("evaluate", output, *words, "--json", numbers)
            lines += [f"## Clustered in {semantics} classes", "", *table(json.loads(numbers.read_text())), ""]
    today = datetime.datetime.now(datetime.timezone.utc).date()
    lines[1:1] = [
        "",
        f"Written by `benchmarks/weights_numbers.py` on {today} from `{arguments.validation.name}`; means over events, "
        f"voxels selected by true class, true instances under 10 voxels left out. ARI multi: events with more than one "
        f"cluster on both sides, which differ between the clusterers (column multi). Linked and greedy (the "
        f"paper's rule) cluster the same embeddings; their thresholds and the eps of DBSCAN were tuned on "
        f"`{arguments.tune.name}`.",
    ]
    (arguments.out / f"{arguments.name}.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
