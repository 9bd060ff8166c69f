"""The table of README: what the shipped chains reach, from the numbers beside their weights."""

from __future__ import annotations

import json
from pathlib import Path

from mlreco.atomic import write_text

BEGIN, END = "<!-- written by python -m benchmarks.zoo -->\n", "<!-- end -->\n"
METHODS = {
    "graph": "the chain",
    "linked": "linked voxels",
    "greedy": "the paper's rule on our embeddings",
    "dbscan": "DBSCAN",
}
"""Methods of the table. The paper's own network is in the cards alone: its numbers say little without its budget."""


def update(readme: Path, weights: Path) -> None:
    """Write the table between its marks.

    Args:
        readme: the file with the marks.
        weights: folder of ``<chain>.json``.
    """
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(readme, before + BEGIN + table(weights) + END + after)


def table(weights: Path) -> str:
    """Return the table as Markdown: mean adjusted Rand indices by chain, classes and method."""
    rows: list[str] = []
    classes: list[str] = []
    for path in sorted(weights.glob("*.json"), reverse=True):
        numbers = json.loads(path.read_text(encoding="utf-8"))
        classes = list(numbers["predicted"]["graph"]["classes"])
        for semantics in ("predicted", "true"):
            for method, name in METHODS.items():
                found = numbers[semantics][method]
                aris = [*(found["classes"][one]["ari"] for one in classes), found["all"]["ari"]]
                cells = ["-" if ari is None else f"{ari:.3f}" for ari in aris]
                rows.append(f"| {numbers['chain']}, {semantics} classes | {name} | {' | '.join(cells)} |")
    head = f"| | | {' | '.join(classes)} | all |\n|---|---|{'---|' * (len(classes) + 1)}\n"
    return head + "\n".join(rows) + "\n"
