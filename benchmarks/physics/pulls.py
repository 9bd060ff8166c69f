"""Directions and vertices over their uncertainty: ``python -m benchmarks.physics.pulls OUTPUT.h5 [OUTPUT.h5]``.

The files are outputs with truth: of chains, or of true instances (``TRUE=EVENTS.h5``). If the stated uncertainty is
right, 68 % of the directions of tracks of any length, that stop or leave, are within it: the number is 1. Of vertices
with any number of tracks it is 1.08, and they are not displaced along these. The tables go to
``benchmarks/results/physics_pulls.md``.
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
from mlreco.analysis.statistics import Number, median, quantile
from mlreco.analysis.subjects.tracks import matched_tracks
from mlreco.analysis.subjects.vertices import NEAR, WITHIN, matched_vertices
from mlreco.atomic import write_text

RESULT = Path(__file__).resolve().parents[1] / "results" / "physics_pulls.md"
TRUE = "TRUE="
EDGES = (3.0, 5.0, 10.0, 30.0, 60.0, np.inf)
"""Edges of lengths, cm."""
LEAST = 50
"""Fewer tracks tell nothing."""


TRACKS = ((2, 2), (3, 4), (5, 1000))
"""Numbers of tracks of vertices, from and to."""

Tables = tuple[dict[str, str], dict[str, str]]
"""What is in the tables of directions and of vertices."""


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physics.pulls", description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", metavar="OUTPUT.h5", help="outputs with truth, or TRUE=EVENTS.h5")
    columns = dict(_column(given) for given in parser.parse_args().files)
    text = table(columns)
    write_text(RESULT, text)
    print(text)


def _column(given: str) -> tuple[str, Tables]:
    if not given.startswith(TRUE):
        return Path(given).stem, _numbers(read_sample(given))
    source = Path(given.removeprefix(TRUE))
    with tempfile.TemporaryDirectory() as folder:
        write_true_instances(source, Path(folder) / "true.h5", None)
        return f"{source.stem}, true instances", _numbers(read_sample(Path(folder) / "true.h5"))


def _numbers(sample: Sample) -> Tables:
    return dict(pulls(sample)), dict(vertex_pulls(sample))


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


def vertex_pulls(sample: Sample) -> Iterator[tuple[str, str]]:
    """Yield what the vertices are, and what they are off by: over the stated uncertainty, and along their tracks."""
    found = matched_vertices(sample)
    near = found.distance < NEAR
    yield "distance over its uncertainty, 68 %", _cell(found.pulls[near])
    for least, most in TRACKS:
        own = near & (found.tracks >= least) & (found.tracks <= most)
        label = f"{least} tracks" if least == most else f"{least} to {most} tracks" if most < 1000 else "more tracks"
        yield f"the same, {label}", _cell(found.pulls[own])
    yield "displacement along their tracks, median (cm)", _text(median("", found.along[near]))


def _cell(values: np.ndarray) -> str:
    return _text(quantile("", values, PART))


def _text(number: Number) -> str:
    return f"{number.value:.3f} ± {number.error:.3f} ({number.count})" if number.count >= LEAST else f"({number.count})"


def table(columns: dict[str, Tables]) -> str:
    """Return the pulls as Markdown."""
    lines = [
        "# Directions and vertices over their uncertainty",
        "",
        f"Written by `python -m benchmarks.physics.pulls` on {datetime.date.today().isoformat()}: the value below",
        "which 68 % of the angles between true and found directions are, over the stated uncertainty; 1 if that is",
        "right. Tracks of at least 3 cm in the right sense; their number is in parentheses. The constants were fitted",
        "to other events.",
        "",
        *_rows("tracks", {name: tables[0] for name, tables in columns.items()}),
        "",
        f"Vertices within {NEAR:g} cm of the true one, of interactions with two primaries and more: {WITHIN} is right",
        "if the uncertainty is alike in all axes, 0.99 if it is in one axis alone. The displacement is",
        "along the mean direction of the primaries; vertices that follow the first voxels of tracks would have it.",
        "",
        *_rows("vertices", {name: tables[1] for name, tables in columns.items()}),
    ]
    return "\n".join(lines) + "\n"


def _rows(what: str, columns: dict[str, dict[str, str]]) -> list[str]:
    rows = [f"| {what} | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name in next(iter(columns.values())):
        rows.append(f"| {name} | " + " | ".join(column[name] for column in columns.values()) + " |")
    return rows


if __name__ == "__main__":
    main()
