"""Directions of tracks over what they are uncertain by: ``python -m benchmarks.physics.pulls OUTPUT.h5 [OUTPUT.h5]``.

The files are outputs with truth: of chains, or of true instances (``TRUE=EVENTS.h5``). If the stated uncertainty is
right, 68 % of the directions of tracks of any length, that stop or leave, are within it: the number is 1. The table
goes to ``benchmarks/results/physics_pulls.md``.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.physics.fitting import PART
from benchmarks.physics.true_instances import write_true_instances
from mlreco.analysis.sample import Sample, read_sample
from mlreco.analysis.statistics import quantile
from mlreco.analysis.subjects.tracks import matched_tracks
from mlreco.atomic import write_text

RESULT = Path(__file__).resolve().parents[1] / "results" / "physics_pulls.md"
TRUE = "TRUE="
EDGES = (3.0, 5.0, 10.0, 30.0, 60.0, np.inf)
"""Edges of lengths, cm."""
LEAST = 50
"""Fewer tracks tell nothing."""


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physics.pulls", description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", metavar="OUTPUT.h5", help="outputs with truth, or TRUE=EVENTS.h5")
    columns = dict(_column(given) for given in parser.parse_args().files)
    text = table(columns)
    write_text(RESULT, text)
    print(text)


def _column(given: str) -> tuple[str, dict[str, str]]:
    if not given.startswith(TRUE):
        return Path(given).stem, dict(pulls(read_sample(given)))
    source = Path(given.removeprefix(TRUE))
    with tempfile.TemporaryDirectory() as folder:
        write_true_instances(source, Path(folder) / "true.h5", None)
        return f"{source.stem}, true instances", dict(pulls(read_sample(Path(folder) / "true.h5")))


def pulls(sample: Sample) -> Iterator[tuple[str, str]]:
    """Yield what the tracks are, and the 68 % quantile of their angles over the stated uncertainty."""
    tracks = matched_tracks(sample)
    pull, length = tracks.angle / tracks.angle_error, tracks.table["length"]
    sound = tracks.right & np.isfinite(pull)
    contained, stops = tracks.table["contained"] != 0, tracks.table["stops"] > 0.5
    groups = {
        "stop inside": contained & stops,
        "end inside before they stop": contained & ~stops,
        "not contained": ~contained,
    }
    yield "all", _cell(pull[sound])
    for name, chosen in groups.items():
        yield name, _cell(pull[sound & chosen])
        for low, high in pairwise(EDGES):
            own = sound & chosen & (length > low) & (length <= high)
            label = f"{low:g} to {high:g} cm" if np.isfinite(high) else f"above {low:g} cm"
            yield f"{name}, {label}", _cell(pull[own])


def _cell(values: np.ndarray) -> str:
    number = quantile("", values, PART)
    return f"{number.value:.3f} ± {number.error:.3f} ({number.count})" if number.count >= LEAST else f"({number.count})"


def table(columns: dict[str, dict[str, str]]) -> str:
    """Return the pulls as Markdown."""
    lines = [
        "# Directions of tracks over their uncertainty",
        "",
        f"Written by `python -m benchmarks.physics.pulls` on {datetime.date.today().isoformat()}: the value below",
        "which 68 % of the angles between true and found directions are, over the stated uncertainty; 1 if that is",
        "right. Tracks of at least 3 cm in the right sense; their number is in parentheses. The constants were fitted",
        "to other events.",
        "",
        "| tracks | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for name in next(iter(columns.values())):
        lines.append(f"| {name} | " + " | ".join(column[name] for column in columns.values()) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
