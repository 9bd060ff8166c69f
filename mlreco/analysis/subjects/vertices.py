"""Distance of reconstructed vertices from the true ones, and which particles are grouped together."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import chi

from mlreco.analysis.plots import BLUE, histogram
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample
from mlreco.analysis.statistics import fraction, median, quantile
from mlreco.errors import UserError
from mlreco.particles.columns import vectors_of

NAME = "vertices"
HELP = "distance of vertices from the true ones, and the grouping of particles to interactions"
WITHIN = 1.08
"""Length within which 68 % of the vectors are that are Gaussian of width 1 / sqrt(3) in each axis."""

NEAR = 3.0
"""A vertex this near to the true one, cm, is counted as found."""


def analyse(sample: Sample) -> Result:
    """Compare the vertex of each true interaction of two primaries or more with that of its particles.

    Raises:
        UserError: the file has no truth.
    """
    if not sample.has_truth or sample.truth is None or sample.found is None:
        raise UserError(f"{sample.path}: has no truth of interactions")
    chosen, group = _true_interactions(sample.truth)
    members = [chosen[group == number] for number in range(_count(group))]
    vertices = np.array([np.median(vectors_of(sample.truth[own], "vertex"), axis=0) for own in members]).reshape(-1, 3)
    best = np.array([_interaction_of(sample, own) for own in members], np.int64)
    known = best >= 0
    rows = sample.interactions[np.where(known, best, 0)] if len(sample.interactions) else sample.interactions
    distance = np.full(len(vertices), np.nan)
    if known.any():
        distance[known] = np.linalg.norm(vectors_of(rows[known], "vertex") - vertices[known], axis=1)
    pulls = distance / rows["vertex_spread"] / np.sqrt(3) if len(vertices) and len(rows) else distance
    together = _pairs_right(sample)
    numbers = [
        fraction("vertices of two primaries and more within 3 cm", distance < NEAR),
        median("distance of these from the true vertex, median", distance[distance < NEAR], "cm"),
        quantile("distance of all, 68 %", distance, 0.68, "cm"),
        quantile("distance over its uncertainty, 68 %", pulls[distance < NEAR], 0.68, "", WITHIN),
        fraction("true primaries in the interaction of most of their siblings", together),
    ]
    columns = {
        "event": np.array([sample.truth["event"][own[0]] for own in members], np.int64),
        "distance": distance,
        "spread": rows["vertex_spread"] if len(rows) == len(vertices) else distance,
        "primaries": np.bincount(group, minlength=len(vertices)),
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
