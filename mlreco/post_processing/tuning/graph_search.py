"""Grid search of the thresholds with which fragments are put together, class by class."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, EventReader, require_info
from mlreco.post_processing.factories import GRAPH, clusterer_of
from mlreco.post_processing.fragment_graph.partition import GraphThresholds, resolve_graph_thresholds
from mlreco.post_processing.tuning.graph_choice import Scores, chosen_together, neighbours, refined
from mlreco.post_processing.tuning.graph_events import GraphEvent, read_graph_events
from mlreco.post_processing.tuning.graph_grid import GRID, SWITCHED_OFF
from mlreco.post_processing.tuning.grid import TIE
from mlreco.post_processing.tuning.metrics import mean_over_events, tunable
from mlreco.post_processing.tuning.outcome import ThresholdSearch, TunedThresholds
from mlreco.post_processing.tuning.sample import Metric
from mlreco.progress import Progress
from mlreco.semantics import ClassScheme, class_scheme
from mlreco.thread_pools import thread_pool
from mlreco.yaml_reader import read_sections


def _is_scored(place: tuple[int, ...]) -> bool:
    """Tell whether a point of the grid is scored: where no fragment is small, ``attach`` makes no difference."""
    return not (place[1] and GRID.small[place[2]] <= 1)


_POINTS = sum(map(_is_scored, itertools.product(*(range(len(axis)) for axis in GRID))))
"""Points of the grid that are scored."""


class GraphTuning(ThresholdSearch):
    """Outcome of a search."""

    heading = "Thresholds of the fragment graph"
    switched_off = SWITCHED_OFF
    better = "surely better"

    @property
    def score(self) -> str:
        """Name of what was averaged over events."""
        return "score"

    def head(self) -> list[str]:
        """Return the lines above the table."""
        score = f"score: mean of {self.metric} and of the share of true instances that are found (IoU above 1/2)"
        return [f"graph: highest score; {self.conditions()}", score]


@dataclass(frozen=True)
class _Scorer:
    """Scores of events, several of which are in work at a time.

    Attributes:
        events: the events.
        metric: function of a contingency table.
        scheme: names of the classes.
        linkage: how the log-odds of edges between two groups of fragments are put together.
        executor: of the threads.
        bar: counts points that an event was scored with; None where they are not counted.
    """

    events: Sequence[GraphEvent]
    metric: Metric
    scheme: ClassScheme
    linkage: str
    executor: Executor
    bar: Progress | None = None

    def __call__(self, thresholds: Mapping[str, GraphThresholds]) -> Scores:
        """Return the scores with the thresholds of all classes."""
        by_class: dict[str, list[float]] = {name: [] for name in self.scheme.classes}
        for scores in self.executor.map(lambda event: self._score(event, thresholds), self.events):
            for number, score in scores.items():
                by_class[self.scheme.classes[number]].append(score)
            self._advance(1)
        return {name: np.array(scores) for name, scores in by_class.items()}

    def over_grid(self) -> dict[str, np.ndarray]:
        """Return class name -> (E, M, A, S) scores of its events where all classes have the thresholds of a point."""
        by_class: dict[str, list[np.ndarray]] = {name: [] for name in self.scheme.classes}
        for scores in self.executor.map(self._over_grid, self.events):
            for number, table in scores.items():
                by_class[self.scheme.classes[number]].append(table)
            self._advance(_POINTS)
        shape = [len(axis) for axis in GRID]
        return {name: np.array(tables).reshape(-1, *shape) for name, tables in by_class.items()}

    def _advance(self, steps: int) -> None:
        if self.bar is not None:
            self.bar.advance(steps)

    def _score(self, event: GraphEvent, thresholds: Mapping[str, GraphThresholds]) -> dict[int, float]:
        return event.values(self.metric, thresholds, self.scheme, self.linkage)

    def _over_grid(self, event: GraphEvent) -> dict[int, np.ndarray]:
        """Return by class number the (M, A, S) scores for one event, in the order of ``GRID``."""
        values = {number: np.empty([len(axis) for axis in GRID]) for number, _, _ in event.truths}
        for place in itertools.product(*(range(len(axis)) for axis in GRID)):
            if not _is_scored(place):
                for table in values.values():
                    table[place] = table[place[0], 0, place[2]]
                continue
            point = GraphThresholds(*(axis[index] for axis, index in zip(GRID, place, strict=True)))
            for number, value in self._score(event, dict.fromkeys(self.scheme.classes, point)).items():
                values[number][place] = value
        return values


def tune_graph(
    reader: EventReader,
    *,
    events: range,
    metric: str = "ari",
    min_voxels: int = MIN_VOXELS,
    semantics: Literal["predicted", "true"] = "predicted",
    threads: int | None = None,
) -> GraphTuning:
    """Search the thresholds of every class that give the highest mean score over events.

    The score is the mean of a metric and of the share of the true instances of the class that are found
    (:mod:`mlreco.post_processing.evaluation.found`). The metric looks at the voxels of one class alone, for which it
    makes no difference whether their instance takes in others.

    At each point of the grid all classes have the same thresholds; each class then takes those at which its own voxels
    do best, if they gain more over those before than the standard error of this gain. Of points that are equally good
    the first in the order of ``GRID`` is taken. As pairs of fragments of two classes depend on both, the thresholds
    that were chosen are tried together, and classes that then do worse than before keep what they had; all do if the
    sum of their scores does not gain. At the end each class in turn tries other values, while the others keep theirs,
    for the highest sum of the scores of all classes. A class whose thresholds stay may still lose by those of others;
    the table says by how much. The outcome does not depend on the number of threads.

    Args:
        reader: output file with labels and with what ``grappa`` says of fragments.
        events: numbers of the events to search on.
        metric: a name of ``metrics.TUNABLE``.
        min_voxels: true instances with fewer voxels of the class are left out.
        semantics: whether the voxels of a class are those of that predicted or of that true class.
        threads: events in work at a time; all processors if None.

    Raises:
        UserError: an unknown metric, or a product that is needed is not in the file.
    """
    measure = tunable(metric)
    scheme = class_scheme(require_info(reader, "class_scheme"))
    before, linkage = _before(reader.info, scheme)
    read = list(read_graph_events(reader, events, scheme, min_voxels, semantics))
    steps = _POINTS + sum(len(neighbours(point, GRID)) for point in before.values())
    with thread_pool(threads) as executor, Progress("tune", steps * len(read), unit="x") as bar:
        scorer = _Scorer(read, measure, scheme, linkage, executor)
        counted = replace(scorer, bar=bar)
        over_grid, own = counted.over_grid(), scorer(before)
        best = {name: _best(over_grid[name], own[name], before[name]) for name in scheme.classes}
        chosen, after = chosen_together(best, before, own, scorer)
        chosen, after = refined(chosen, after, own, counted, GRID)
    classes = {}
    for name in scheme.classes:
        means, count = mean_over_events(over_grid[name])
        mean_before, mean = (float(mean_over_events(values[name])[0]) for values in (own, after))
        classes[name] = TunedThresholds(before[name], mean_before, chosen[name], mean, count, means)
    return GraphTuning(classes, metric, (events.start, events.stop), min_voxels, semantics, GRID)


def _before(info: Mapping[str, Any], scheme: ClassScheme) -> tuple[dict[str, GraphThresholds], str]:
    """Return thresholds and linkage that a file was clustered with, the usual ones if by another clusterer."""
    used = json.loads(info.get("thresholds") or "{}")
    if not used or clusterer_of(used) != GRAPH:
        return resolve_graph_thresholds(None, scheme), "average"
    config = read_sections(info.get("cfg") or "", "the configuration of the file")
    arguments = config.get("post_processing", {}).get(GRAPH)
    linkage = arguments.get("linkage") if isinstance(arguments, dict) else None
    return resolve_graph_thresholds(used, scheme), linkage or "average"


def _best(values: np.ndarray, own: np.ndarray, before: GraphThresholds) -> GraphThresholds:
    """Return the best point of the grid, or the thresholds before where it is not surely better.

    Args:
        values: (E, M, A, S) scores over the grid, E = 0 without events.
        own: (E,) scores with the thresholds before.
        before: these.
    """
    means, events = mean_over_events(values)
    if not events:
        return before
    point = int(means.argmax())
    gains = values.reshape(len(values), -1)[:, point] - own
    gains = gains[~np.isnan(gains)]
    if gains.mean() <= max(TIE, gains.std() / math.sqrt(len(gains))):
        return before
    place = np.unravel_index(point, means.shape)
    return GraphThresholds(*(float(axis[index]) for axis, index in zip(GRID, place, strict=True)))
