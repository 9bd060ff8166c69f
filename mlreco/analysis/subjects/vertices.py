"""Distance of reconstructed vertices from the true ones, and which particles are grouped together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi

from mlreco.analysis.plots import BLUE, histogram
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample
from mlreco.analysis.statistics import fraction, median, quantile
from mlreco.errors import UserError
from mlreco.particles.columns import vectors_of
from mlreco.particles.kinds import Kind, kinds_of

NAME = "vertices"
HELP = "distance of vertices from the true ones, and the grouping of particles to interactions"
WITHIN = 1.08
"""Length within which 68 % of the vectors are that are Gaussian of width 1 / sqrt(3) in each axis."""

NEAR = 3.0
"""A vertex this near to the true one, cm, is counted as found."""


@dataclass(frozen=True)
class MatchedVertices:
    """V true interactions of two primaries or more, and what is found of them.

    Attributes:
        events: (V,) int64.
        primaries: (V,) int64 number of true primaries.
        tracks: (V,) int64 how many of these are tracks.
        miss: (V, 3) float64 found minus true vertex, cm; NaN where none is found.
        along: (V,) float64 part of ``miss`` along the mean of the true directions of the primaries, cm.
        spread: (V,) float64 uncertainty in each axis, cm.
    """

    events: np.ndarray
    primaries: np.ndarray
    tracks: np.ndarray
    miss: np.ndarray
    along: np.ndarray
    spread: np.ndarray

    @property
    def distance(self) -> np.ndarray:
        """(V,) distance from the true vertex, cm."""
        return np.linalg.norm(self.miss, axis=1)

    @property
    def pulls(self) -> np.ndarray:
        """(V,) distance over its uncertainty in all axes together."""
        return self.distance / self.spread / np.sqrt(3)


def matched_vertices(sample: Sample) -> MatchedVertices:
    """Return the vertex of each true interaction of two primaries or more with that of its particles.

    Raises:
        UserError: the file has no truth.
    """
    if not sample.has_truth or sample.truth is None or sample.found is None:
        raise UserError(f"{sample.path}: has no truth of interactions")
    chosen, group = _true_interactions(sample.truth)
    truth, members = sample.truth[chosen], [chosen[group == number] for number in range(_count(group))]
    vertices = np.array([np.median(vectors_of(sample.truth[own], "vertex"), axis=0) for own in members]).reshape(-1, 3)
    best = np.array([_interaction_of(sample, own) for own in members], np.int64)
    known, count = best >= 0, len(members)
    miss, spread = np.full((count, 3), np.nan), np.full(count, np.nan)
    rows = sample.interactions[best[known]]
    miss[known], spread[known] = vectors_of(rows, "vertex") - vertices[known], rows["vertex_spread"]
    directions = np.nan_to_num(vectors_of(truth, "direction"))
    mean = np.stack([np.bincount(group, column, count) for column in directions.T], axis=1)
    size = np.linalg.norm(mean, axis=1)
    along = (miss * mean).sum(axis=1) / np.where(size > 0, size, np.nan)
    is_track = kinds_of(truth["semantic"], sample.scheme) == Kind.TRACK
    events = np.array([sample.truth["event"][own[0]] for own in members], np.int64)
    primaries, tracks = np.bincount(group, minlength=count), np.bincount(group, is_track, count).astype(np.int64)
    return MatchedVertices(events, primaries, tracks, miss, along, spread)


def analyse(sample: Sample) -> Result:
    """Compare the vertex of each true interaction of two primaries or more with that of its particles.

    Raises:
        UserError: the file has no truth.
    """
    found = matched_vertices(sample)
    distance, pulls, together = found.distance, found.pulls, _pairs_right(sample)
    numbers = [
        fraction("vertices of two primaries and more within 3 cm", distance < NEAR),
        median("distance of these from the true vertex, median", distance[distance < NEAR], "cm"),
        quantile("distance of all, 68 %", distance, 0.68, "cm"),
        quantile("distance over its uncertainty, 68 %", pulls[distance < NEAR], 0.68, "", WITHIN),
        fraction("true primaries in the interaction of most of their siblings", together),
    ]
    columns = {
        "event": found.events,
        "distance": distance,
        "spread": found.spread,
        "primaries": found.primaries,
    }

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        histogram(left, distance, np.geomspace(0.003, 300, 51), "distance from the true vertex (cm)", BLUE)
        left.set_xscale("log")
        edges, near = np.linspace(0, 4, 33), pulls[distance < NEAR]
        histogram(right, near, edges, "distance over its uncertainty, within 3 cm", BLUE, "vertices")
        expected = np.isfinite(near).sum() * np.diff(chi.cdf(edges * np.sqrt(3), 3))
        right.step(edges, np.append(expected[0], expected), color="black", lw=1, label="Gaussian, alike in all axes")
        right.legend(frameon=False, loc="upper right")

    note = (
        "True interactions with at least two primaries of 10 voxels; the one that holds most of their energy. What is "
        "beyond the axes is in their outermost bins."
    )
    return Result("Vertices", numbers, columns, draw, note)


def _count(group: np.ndarray) -> int:
    return int(group.max(initial=-1)) + 1


def _true_interactions(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of primaries whose interaction has two or more, and the number of that, from 0."""
    rows = np.flatnonzero((truth["primary"] == 1) & (truth["interaction"] >= 0) & (truth["voxels"] >= 10))
    keys = np.stack([truth["event"][rows], truth["interaction"][rows]], axis=1)
    _, group, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    keep = counts[group.ravel()] >= 2
    _, group = np.unique(group.ravel()[keep], return_inverse=True)
    return rows[keep], group


def _interaction_of(sample: Sample, rows: np.ndarray) -> int:
    """Return the row of the interaction that holds most of the energy of some true particles, -1 for none."""
    place = sample.found[rows] if sample.found is not None else rows[:0]
    place = place[place >= 0]
    if not len(place):
        return -1
    table = sample.particles[place]
    numbers, where = np.unique(table["interaction"], return_inverse=True)
    number = numbers[np.bincount(where, table["energy"]).argmax()]
    own = (sample.interactions["event"] == table["event"][0]) & (sample.interactions["interaction"] == number)
    return int(np.flatnonzero(own)[0])


def _pairs_right(sample: Sample) -> np.ndarray:
    """Return for each found true primary that has siblings whether it is in the interaction of most of these."""
    if sample.truth is None or sample.found is None:
        return np.empty(0, bool)
    chosen, group = _true_interactions(sample.truth)
    place = sample.found[chosen]
    group, place = group[place >= 0], place[place >= 0]
    interaction = sample.particles["interaction"][place]
    right = np.zeros(len(group), bool)
    for number in range(_count(group)):
        own = np.flatnonzero(group == number)
        values, where = np.unique(interaction[own], return_inverse=True)
        right[own] = where == np.bincount(where).argmax() if len(values) else False
    return right
