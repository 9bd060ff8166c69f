"""Start, direction and length of tracks against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mlreco.analysis.plots import histogram
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample, angle_between
from mlreco.analysis.statistics import Number, fraction, median, quantile, width

NAME = "tracks"
HELP = "start, end, direction, length and sense of tracks against the truth"
SHORTEST = 3.0
"""Tracks below this true length, cm, are left out; below this reconstructed length where the truth has no ends."""


NOTE = (
    "Matched tracks (IoU above 0.5) of true muons, pions and protons at least 3 cm long. The statistical errors do not "
    "hold what voxels do to all tracks alike: medians of lengths are uncertain by another fifth of a voxel (0.06 cm) "
    "and 0.2 % of the length. What is beyond the axes is in their outermost bins."
)


@dataclass(frozen=True)
class MatchedTracks:
    """Matched tracks: their rows of the table, what they are, and how far off they are (cm, degrees)."""

    table: np.ndarray
    pdg: np.ndarray
    known_ends: np.ndarray
    right: np.ndarray
    from_start: np.ndarray
    from_end: np.ndarray
    angle: np.ndarray
    true_length: np.ndarray
    excess: np.ndarray

    @property
    def angle_error(self) -> np.ndarray:
        """Uncertainty of the direction, degrees."""
        return np.degrees(self.table["direction_error"])


def analyse(sample: Sample) -> Result:
    """Compare matched tracks of at least 3 cm with the truth.

    Raises:
        UserError: the file has no truth.
    """
    tracks = matched_tracks(sample)
    columns = {
        "event": tracks.table["event"],
        "particle": tracks.table["particle"],
        "true_pdg": tracks.pdg,
        "sense_right": tracks.right.astype(np.int8),
        "start_distance": tracks.from_start,
        "end_distance": tracks.from_end,
        "angle": tracks.angle,
        "angle_error": tracks.angle_error,
        "length": tracks.table["length"],
        "true_length": tracks.true_length,
        "score_proton": tracks.table["score_proton"],
    }
    return Result("Tracks against the truth", _numbers(tracks), columns, partial(_draw, tracks), NOTE)


def matched_tracks(sample: Sample) -> MatchedTracks:
    """Return the tracks of at least 3 cm that match a muon, pion or proton.

    Raises:
        UserError: the file has no truth.
    """
    rows = sample.tracks()
    rows = rows[np.isin(np.abs(sample.true_of(rows, "pdg")), (13, 211, 2212))]
    first, last = sample.true_vectors(rows, "start"), sample.true_vectors(rows, "end")
    chord = np.linalg.norm(last - first, axis=1)
    chord = np.where(np.isfinite(chord), chord, sample.particles["length"][rows])
    rows, first, last = (values[chord >= SHORTEST] for values in (rows, first, last))
    table, true_length = sample.particles[rows], sample.true_of(rows, "length")
    start, end = sample.vectors(rows, "start"), sample.vectors(rows, "end")
    ends_inside = np.linalg.norm(sample.true_vectors(rows, "stop") - last, axis=1) < 1
    return MatchedTracks(
        table=table,
        pdg=sample.true_of(rows, "pdg"),
        known_ends=np.isfinite(first).all(axis=1) & np.isfinite(last).all(axis=1),
        right=((end - start) * (last - first)).sum(axis=1) > 0,
        from_start=np.linalg.norm(start - first, axis=1),
        from_end=np.linalg.norm(end - last, axis=1),
        angle=angle_between(sample.vectors(rows, "direction"), sample.true_vectors(rows, "direction")),
        true_length=true_length,
        excess=np.where(ends_inside, table["length"] - true_length, np.nan),
    )


def _numbers(tracks: MatchedTracks) -> list[Number]:
    right, proton, heavy = tracks.right, tracks.table["score_proton"] > 0.5, np.abs(tracks.pdg) == 2212
    sure = tracks.known_ends & (tracks.table["sense_confidence"] > 0.95)
    pull = tracks.angle / tracks.angle_error
    return [
        fraction("sense right", right[tracks.known_ends]),
        fraction("sense right where confidence is above 0.95", right[sure]),
        quantile("distance of start, 68 %", tracks.from_start[right], 0.68, "cm"),
        quantile("distance of end, 68 %", tracks.from_end[right], 0.68, "cm"),
        quantile("angle at start, 68 %", tracks.angle[right], 0.68, "deg"),
        quantile("angle over its uncertainty, 68 %", pull[right], 0.68, "", 1.0),
        median("length minus true length, median", tracks.excess, "cm", 0.0),
        width("length minus true length, 68 % width", tracks.excess, "cm"),
        fraction("protons called proton", proton[heavy]),
        fraction("muons and pions not called proton", ~proton[~heavy]),
    ]


def _draw(tracks: MatchedTracks, figure: Any) -> None:
    axes = figure.subplots(1, 3)
    histogram(axes[0], tracks.from_start[tracks.right], np.linspace(0, 2, 41), "distance of start (cm)")
    histogram(axes[1], tracks.angle[tracks.right], np.linspace(0, 20, 41), "angle at start (degrees)")
    histogram(axes[2], tracks.excess, np.linspace(-3, 3, 41), "length - true length (cm)")
