"""The choice among thresholds of the fragment graph, where the thresholds of all classes act together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from mlreco.post_processing.fragment_graph.partition import GraphThresholds
from mlreco.post_processing.tuning.graph_grid import GraphGrid
from mlreco.post_processing.tuning.grid import TIE
from mlreco.post_processing.tuning.metrics import mean_over_events

Scores: TypeAlias = Mapping[str, np.ndarray]
"""Class name -> (E,) score of each event with instances of the class."""

Thresholds: TypeAlias = Mapping[str, GraphThresholds]
"""Class name -> its thresholds."""


def chosen_together(
    best: Thresholds,
    before: Thresholds,
    own: Scores,
    scores_of: Callable[[Thresholds], Scores],
) -> tuple[Thresholds, Scores]:
    """Return thresholds with which, all together, no class that changes does worse than before, and their values.

    A class that keeps its thresholds may lose by those of others. If the sum of the scores does not gain, all classes
    keep theirs.

    Args:
        best: of each class by itself.
        before: of each class.
        own: values of the metric with them, by class.
        scores_of: gives these values for any thresholds.
    """
    chosen = dict(best)
    while True:
        after = scores_of(chosen)
        worse = [
            name
            for name in chosen
            if chosen[name] != before[name] and mean_over_events(after[name] - own[name])[0] < -TIE
        ]
        if not worse:
            return (chosen, after) if _gain(after, own)[0] > TIE else (before, own)
        chosen.update({name: before[name] for name in worse})


def refined(
    chosen: Thresholds,
    values: Scores,
    before: Scores,
    scores_of: Callable[[Thresholds], Scores],
    grid: GraphGrid,
) -> tuple[Thresholds, Scores]:
    """Return thresholds that no change of one class within the grid makes surely better for all classes together.

    Those are tried in which ``merge`` alone differs, or the other two. A point counts if the sum of the scores gains
    more than its standard error, and no class falls below what it had before.

    Args:
        chosen: thresholds of each class.
        values: scores with them, by class and event.
        before: scores of the thresholds before, likewise.
        scores_of: gives the scores of any thresholds.
        grid: values of each threshold that are tried.
    """
    current, scores = dict(chosen), values
    for name in chosen:
        base, highest, best = scores, 0.0, current[name]
        for point in neighbours(current[name], grid):
            found = scores_of({**current, name: point})
            gain, error = _gain(found, base)
            if gain > max(highest, error) and not _worse(found, before, base):
                highest, best, scores = gain, point, found
        current[name] = best
    return current, scores


def neighbours(point: GraphThresholds, grid: GraphGrid) -> list[GraphThresholds]:
    """Return the thresholds that :func:`refined` tries for a class, as many for every point."""
    others = itertools.product(grid.attach, grid.small)
    points = [point._replace(merge=merge) for merge in grid.merge]
    return points + [point._replace(attach=attach, small=small) for attach, small in others]


def _gain(found: Scores, base: Scores) -> tuple[float, float]:
    """Return by how much the sum of the mean scores of the classes is higher, and the standard error of that."""
    gains = [found[name] - base[name] for name in found]
    gains = [gain[~np.isnan(gain)] for gain in gains]
    gains = [gain for gain in gains if len(gain)]
    return sum(float(gain.mean()) for gain in gains), math.sqrt(sum(gain.var() / len(gain) for gain in gains))


def _worse(found: Scores, *floors: Scores) -> bool:
    """Tell whether a class has a lower mean score than in each of ``floors``."""
    return any(
        all(mean_over_events(found[name] - floor[name])[0] < -TIE for floor in floors)
        for name in found
        if len(found[name])
    )
