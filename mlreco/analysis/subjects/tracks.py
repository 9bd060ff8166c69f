"""Start, direction and length of tracks against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlreco.analysis.plots import histogram
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample, angle_between
from mlreco.analysis.statistics import fraction, median, quantile, width

NAME = "tracks"
HELP = "start, end, direction, length and sense of tracks against the truth"
SHORTEST = 3.0
"""Tracks below this true length, cm, are left out; below this length where the truth tells no ends."""


def analyse(sample: Sample) -> Result:
    """Compare matched tracks of at least 3 cm with the truth.

    Raises:
        UserError: the file has no truth.
    """
    rows = sample.tracks()
    rows = rows[np.isin(np.abs(sample.true_of(rows, "pdg")), (13, 211, 2212))]
    first, last = sample.true_vectors(rows, "start"), sample.true_vectors(rows, "end")
    chord = np.linalg.norm(last - first, axis=1)
    chord = np.where(np.isfinite(chord), chord, sample.particles["length"][rows])
    rows, first, last = (values[chord >= SHORTEST] for values in (rows, first, last))
    table = sample.particles[rows]
    start, end = sample.vectors(rows, "start"), sample.vectors(rows, "end")
    right = ((end - start) * (last - first)).sum(axis=1) > 0
    from_start, from_end = np.linalg.norm(start - first, axis=1), np.linalg.norm(end - last, axis=1)
    angle = angle_between(sample.vectors(rows, "direction"), sample.true_vectors(rows, "direction"))
    pull = angle / np.degrees(table["direction_error"])
    inside = np.linalg.norm(sample.true_vectors(rows, "stop") - last, axis=1) < 1
    excess = np.where(inside, table["length"] - sample.true_of(rows, "length"), np.nan)
    proton, heavy = table["score_proton"] > 0.5, np.abs(sample.true_of(rows, "pdg")) == 2212
    known = np.isfinite(first).all(axis=1) & np.isfinite(last).all(axis=1)
    sure = known & (table["sense_confidence"] > 0.95)
    numbers = [
        fraction("sense right", right[known]),
        fraction("sense right where confidence is above 0.95", right[sure]),
        quantile("distance of start, 68 %", from_start[right], 0.68, "cm"),
        quantile("distance of end, 68 %", from_end[right], 0.68, "cm"),
        quantile("angle at start, 68 %", angle[right], 0.68, "deg"),
        quantile("angle over its uncertainty, 68 %", pull[right], 0.68, "", 1.0),
        median("length minus true length, median", excess, "cm", 0.0),
        width("length minus true length, 68 % width", excess, "cm"),
        fraction("protons called proton", proton[heavy]),
        fraction("muons and pions not called proton", ~proton[~heavy]),
    ]
    columns = {
        "event": table["event"],
        "particle": table["particle"],
        "true_pdg": sample.true_of(rows, "pdg"),
        "sense_right": right.astype(np.int8),
        "start_distance": from_start,
        "end_distance": from_end,
        "angle": angle,
        "angle_error": np.degrees(table["direction_error"]),
        "length": table["length"],
        "true_length": sample.true_of(rows, "length"),
        "score_proton": table["score_proton"],
    }

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 3)
        histogram(axes[0], from_start[right], np.linspace(0, 2, 41), "distance of start (cm)")
        histogram(axes[1], angle[right], np.linspace(0, 20, 41), "angle at start (degrees)")
        histogram(axes[2], excess, np.linspace(-3, 3, 41), "length - true length (cm)")

    note = (
        "Matched tracks (IoU above 0.5) of true muons, pions and protons at least 3 cm long. The statistical errors do "
        "not hold what voxels do to all tracks alike: medians of lengths are uncertain by another fifth of a voxel "
        "(0.06 cm) and 0.2 % of the length."
    )
    return Result("Tracks against the truth", numbers, columns, draw, note)
