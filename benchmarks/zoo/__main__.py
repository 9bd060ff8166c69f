"""``python -m benchmarks.zoo thin --tune TUNE.h5 --test TEST.h5``: thresholds and the card of a shipped chain.

Writes ``config/weights/<chain>_<clusterer>.yaml``, the numbers as ``<chain>.json`` and the card ``<chain>.md``. The
weights must have seen neither file. ``--keep-tuned`` takes the thresholds that are there. ``--paper`` adds the method
of the SPICE paper, from a checkpoint of ``mlreco train spice_cpu``; without it stays what was measured of that on test
events of the same name. ``--published`` adds events of other simulations.
The table of README is written again from the numbers of all chains.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.zoo import paper, published, readme
from benchmarks.zoo.card import card, of_paper
from benchmarks.zoo.runs import Zoo
from mlreco.atomic import write_text

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "config" / "weights"


def main(words: Sequence[str] | None = None) -> None:
    """Tune, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("chain", help="name of a configuration with a fragment graph, such as thin")
    parser.add_argument("--tune", type=Path, required=True, help="events for the thresholds")
    parser.add_argument("--test", type=Path, required=True, help="events for the numbers")
    parser.add_argument("--keep-tuned", action="store_true", help="take the thresholds that are there")
    parser.add_argument("--paper", type=Path, metavar="CHECKPOINT", help="network trained with the paper's loss")
    parser.add_argument("--published", type=Path, metavar="FILE", help="events of other simulations")
    parser.add_argument("--published-events", default="0:", metavar="A:B", help="which of them (all)")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder of thresholds and card")
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        zoo = Zoo(arguments.chain, arguments.out, Path(folder))
        zoo.tune(arguments.tune, arguments.keep_tuned)
        numbers = zoo.measure(arguments.test)
        if arguments.paper:
            numbers["true"][paper.METHOD] = paper.measure(arguments.paper, arguments.tune, arguments.test, zoo.work)
            numbers["paper"] = list(of_paper(arguments.paper))
        else:
            keep_paper(numbers, arguments.out / f"{arguments.chain}.json", arguments.test.name)
        if arguments.published:
            chosen = arguments.published_events
            numbers["published"] = published.compare(zoo, arguments.published, chosen, arguments.test)
    numbers |= {"chain": arguments.chain, "tuned_on": arguments.tune.name, "tested_on": arguments.test.name}
    write_text(arguments.out / f"{arguments.chain}.json", json.dumps(numbers, indent=1))
    write_text(arguments.out / f"{arguments.chain}.md", card(numbers, zoo.checkpoints()))
    if arguments.out == WEIGHTS:
        readme.update(ROOT / "README.md", WEIGHTS)


def keep_paper(numbers: dict[str, Any], written: Path, tested_on: str) -> None:
    """Add what was measured before of the paper's method, where that was on test events of the same name.

    Args:
        numbers: of the chain, changed.
        written: the numbers that were written before, which need not exist.
        tested_on: name of the file of test events.
    """
    before = json.loads(written.read_text(encoding="utf-8")) if written.is_file() else {}
    if before.get("tested_on") == tested_on and "paper" in before:
        numbers["true"][paper.METHOD], numbers["paper"] = before["true"][paper.METHOD], before["paper"]


if __name__ == "__main__":
    sys.exit(main())
