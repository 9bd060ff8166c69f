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
    """Return the table as Markdown: the mean adjusted Rand index of every method by chain and classes."""
    chains = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(weights.glob("*.json"), reverse=True)]
    columns = [(numbers, semantics) for numbers in chains for semantics in ("predicted", "true")]
    heads = [f"{numbers['chain']}, {semantics} classes" for numbers, semantics in columns]
    rows = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for method, name in METHODS.items():
        cells = [f"{numbers[semantics][method]['all']['ari']:.3f}" for numbers, semantics in columns]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"
