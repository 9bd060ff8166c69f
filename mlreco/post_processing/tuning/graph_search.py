"""Grid search of the thresholds with which fragments are put together, class by class."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from mlreco.post_processing.evaluation.evaluate import (
    MIN_VOXELS,
    EventReader,
    class_product,
    require_info,
    require_products,
)
from mlreco.post_processing.evaluation.found import majority_classes, partner_pairs
from mlreco.post_processing.evaluation.text_table import aligned, decimal
from mlreco.post_processing.factories import GRAPH, clusterer_of
from mlreco.post_processing.fragment_graph.partition import GraphThresholds, partition, resolve_graph_thresholds
from mlreco.post_processing.processors.graph_clusterer import GraphInstances
from mlreco.post_processing.tuning.grid import TIE
from mlreco.post_processing.tuning.metrics import mean_over_events, tunable
from mlreco.post_processing.tuning.report import Search, end_notes, number_or_none, numbers_or_none
from mlreco.post_processing.tuning.sample import Metric
from mlreco.post_processing.tuning.truth import Truth
from mlreco.progress import Progress
from mlreco.semantics import ClassScheme, class_scheme
from mlreco.yaml_reader import read_sections


class GraphGrid(NamedTuple):
    """Values of each threshold that are tried, all combinations of them; the fields are those of `GraphThresholds`."""

    merge: tuple[float, ...]
    attach: tuple[float, ...]
    small: tuple[float, ...]


GRID = GraphGrid(
    merge=(-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0),
    attach=(-20.0, -4.0, -2.0, 0.0),
    small=(1.0, 5.0, 10.0, 15.0, 20.0),
)


SWITCHED_OFF = {
    "attach": (-20.0, "small instances are given away in any case"),
    "small": (1.0, "no instance is given away"),
}
"""Value of a threshold at which it decides nothing, and what that means."""


@dataclass(frozen=True)
class TunedGraph:
    """Outcome for one class.

    Attributes:
        before: thresholds that the file was clustered with; the shipped ones where it does not tell.
        mean_before: mean score over events where all classes have theirs from before, NaN without events.
        thresholds: the best ones; those before where no point of the grid is better.
        mean: mean score where all classes have their best ones, NaN without events.
        events: number of events behind the means.
        values: (M, A, S) float64 means over the grid; all NaN without events.
    """

    before: GraphThresholds
    mean_before: float
    thresholds: GraphThresholds
    mean: float
    events: int
    values: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON can hold it."""
        return {
            **self.thresholds._asdict(),
            "mean": number_or_none(self.mean),
            "events": self.events,
            "before": {**self.before._asdict(), "mean": number_or_none(self.mean_before)},
            "grid_values": numbers_or_none(self.values),
        }


@dataclass(frozen=True)
class GraphTuning(Search):
    """Outcome of a search."""

    heading = "Thresholds of the fragment graph"

    def table(self) -> str:
        """Return the outcome as text."""
        names = [["class"], *([name] for name in self.classes)]
        cells = [[*GraphThresholds._fields, "score after", "score before", "events"]]
        for one in self.classes.values():
            means = (decimal(one.mean), decimal(one.mean_before), str(one.events))
            cells.append([*(f"{value:g}" for value in one.thresholds), *means])
        score = f"score: mean of {self.metric} and of the share of true instances that are found (IoU above 1/2)"
        lines = [f"graph: highest score; {self.conditions()}", score, *aligned(names, cells)]
        kept = [name for name, one in self.classes.items() if one.events and one.thresholds == one.before]
        lines += (
            [f"no point of the grid is surely better than the thresholds before: {', '.join(kept)}"] if kept else []
        )
        return "\n".join([*lines, *self.notes()])

    def notes(self) -> list[str]:
        """Return a line for each optimum at an end of its grid, or where it switches a term off, and for each loss."""
        notes = []
        for name, one in self.classes.items():
            if one.thresholds == one.before:
                if one.mean < one.mean_before - TIE:
                    notes.append(f"{name}: {one.mean_before - one.mean:.1g} lower by the thresholds of other classes")
                continue
            notes += end_notes(name, one.thresholds, GRID, SWITCHED_OFF)
        return notes

    def found(self) -> dict[str, Any]:
        """Return the best thresholds of every class by its name."""
        return {name: one.thresholds._asdict() for name, one in self.classes.items()}

    def to_json(self, source: str) -> str:
        """Return the outcome as JSON text, the means over the grid included; undefined numbers are null."""
        return self.document(source, {}, {"grid": GRID._asdict()})


@dataclass(frozen=True)
class _Event:
    """What the network said of the fragments of an event, and the truth.

    Attributes:
        fragments: (N,) fragment of each voxel.
        sizes: (F,) voxels of the fragments.
        classes: (F,) class of the fragments.
        edges: (E, 2) pairs of fragments.
        scores: (E,) log-odds that they belong together.
        truths: number of a class, rows of its voxels, and their true instances.
        known: (M,) rows of the voxels with a true instance.
        whole: the true instances of these, of all classes and sizes.
        counted: class number -> numbers in ``whole`` of the instances of that class that are not small.
    """

    fragments: np.ndarray
    sizes: np.ndarray
    classes: np.ndarray
    edges: np.ndarray
    scores: np.ndarray
    truths: list[tuple[int, np.ndarray, Truth]]
    known: np.ndarray
    whole: Truth
    counted: dict[int, np.ndarray]

    def values(
        self, metric: Metric, thresholds: Mapping[str, GraphThresholds], scheme: ClassScheme, linkage: str
    ) -> dict[int, float]:
        """Return the score of each class that has instances, by class number.

        It is the mean of the metric and of the share of the true instances that are found; the metric alone where the
        voxels of the class are all of instances of other classes.
        """
        instances = partition(self.edges, self.scores, self.sizes, self.classes, thresholds, scheme, linkage)
        predicted = np.where(self.fragments >= 0, instances[self.fragments], 0).astype(np.int32)
        table = self.whole.table(predicted[self.known], len(instances))
        found = np.bincount(table.true_index, partner_pairs(table), minlength=len(self.whole))
        scores = {}
        for number, rows, truth in self.truths:
            counted = self.counted[number]
            value = metric(truth.table(predicted[rows], len(instances)))
            scores[number] = (value + found[counted].mean()) / 2 if len(counted) else value
        return scores


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
    that were chosen are tried together, and classes that then do worse than before keep what they had. At the end each
    class in turn tries other values, while the others keep theirs, for the highest sum of the scores of all classes.
    The outcome does not depend on the number of threads.

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
    grid: dict[int, list[np.ndarray]] = {number: [] for number in range(len(scheme))}
    read = list(_read(reader, events, scheme, min_voxels, semantics))
    with ThreadPoolExecutor(threads or os.cpu_count()) as executor, Progress("tune", len(read), unit="x") as bar:
        for found in executor.map(lambda event: _grid_values(event, measure, scheme, linkage), read):
            for number, table in found.items():
                grid[number].append(table)
            bar.advance()

        def by_class(thresholds: Mapping[str, GraphThresholds]) -> dict[str, np.ndarray]:
            found = executor.map(lambda event: event.values(measure, thresholds, scheme, linkage), read)
            events_of_class: dict[int, list[float]] = {number: [] for number in grid}
            for number, value in (pair for values in found for pair in values.items()):
                events_of_class[number].append(value)
            return {scheme.classes[number]: np.array(values) for number, values in events_of_class.items()}

        own = by_class(before)
        best = {name: _best(grid[number], own[name], before[name]) for number, name in enumerate(scheme.classes)}
        chosen, after = _refined(*_together(best, before, own, by_class), own, by_class)
    classes = {}
    for number, name in enumerate(scheme.classes):
        means, count = mean_over_events(_stacked(grid[number]))
        means_of = (float(mean_over_events(values[name])[0]) for values in (own, after))
        mean_before, mean = means_of
        classes[name] = TunedGraph(before[name], mean_before, chosen[name], mean, count, means)
    return GraphTuning(classes, metric, (events.start, events.stop), min_voxels, semantics)


def _together(
    best: Mapping[str, GraphThresholds],
    before: Mapping[str, GraphThresholds],
    own: Mapping[str, np.ndarray],
    by_class: Callable[[Mapping[str, GraphThresholds]], dict[str, np.ndarray]],
) -> tuple[dict[str, GraphThresholds], dict[str, np.ndarray]]:
    """Return thresholds with which, all together, no class that changes does worse than before, and their values.

    Args:
        best: of each class by itself.
        before: of each class.
        own: values of the metric with them, by class.
        by_class: gives these values for any thresholds.
    """
    chosen = dict(best)
    while True:
        after = by_class(chosen)
        worse = [
            name
            for name in chosen
            if chosen[name] != before[name] and mean_over_events(after[name] - own[name])[0] < -TIE
        ]
        if not worse:
            return chosen, after
        chosen.update({name: before[name] for name in worse})


def _refined(
    chosen: Mapping[str, GraphThresholds],
    values: Mapping[str, np.ndarray],
    before: Mapping[str, np.ndarray],
    by_class: Callable[[Mapping[str, GraphThresholds]], dict[str, np.ndarray]],
) -> tuple[dict[str, GraphThresholds], dict[str, np.ndarray]]:
    """Return thresholds of which no class has others in the grid that make all classes together surely better.

    Those are tried in which ``merge`` alone differs, or the other two. A point counts if the sum of the scores gains
    more than its standard error, and no class falls below what it had before.

    Args:
        chosen: thresholds of each class.
        values: scores with them, by class and event.
        before: scores of the thresholds before, likewise.
        by_class: gives the scores of any thresholds.
    """
    current, scores = dict(chosen), dict(values)
    for name in chosen:
        others = itertools.product(GRID.attach, GRID.small)
        points = [current[name]._replace(merge=merge) for merge in GRID.merge]
        points += [current[name]._replace(attach=attach, small=small) for attach, small in others]
        base, highest, best = scores, 0.0, current[name]
        for point in points:
            found = by_class({**current, name: point})
            gain, error = _gain(found, base)
            if gain > max(highest, error) and not _worse(found, before, base):
                highest, best, scores = gain, point, found
        current[name] = best
    return current, scores


def _gain(found: Mapping[str, np.ndarray], base: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Return by how much the sum of the mean scores of the classes is higher, and the standard error of that."""
    gains = [found[name] - base[name] for name in found]
    gains = [gain[~np.isnan(gain)] for gain in gains]
    gains = [gain for gain in gains if len(gain)]
    return sum(float(gain.mean()) for gain in gains), math.sqrt(sum(gain.var() / len(gain) for gain in gains))


def _worse(found: Mapping[str, np.ndarray], *floors: Mapping[str, np.ndarray]) -> bool:
    """Tell whether a class has a lower mean score than in each of the others."""
    return any(
        all(mean_over_events(found[name] - floor[name])[0] < -TIE for floor in floors)
        for name in found
        if len(found[name])
    )


def _before(info: Mapping[str, Any], scheme: ClassScheme) -> tuple[dict[str, GraphThresholds], str]:
    """Return thresholds and linkage that a file was clustered with, the usual ones if by another clusterer."""
    used = json.loads(info.get("thresholds") or "{}")
    if not used or clusterer_of(used) != GRAPH:
        return resolve_graph_thresholds(None, scheme), "average"
    config = read_sections(info.get("cfg") or "", "the configuration of the file")
    arguments = config.get("post_processing", {}).get(GRAPH)
    linkage = arguments.get("linkage") if isinstance(arguments, dict) else None
    return resolve_graph_thresholds(used, scheme), linkage or "average"


def _read(
    reader: EventReader, events: Iterable[int], scheme: ClassScheme, min_voxels: int, semantics: str
) -> Iterator[_Event]:
    chosen = class_product(semantics)
    needed = (*GraphInstances.requires, "instances_true", chosen, "semantics_true")
    require_products(reader, needed)
    for index in events:
        event = reader.event(index, needed)
        truths = []
        for number in range(len(scheme)):
            rows = np.flatnonzero((event[chosen] == number) & (event["fragments"] >= 0))
            truth = Truth.build(event["instances_true"][rows], min_voxels)
            if len(truth):
                truths.append((number, rows, truth))
        scores = event["fragment_class_scores"]
        fragments = event["fragments"]
        known = np.flatnonzero((event["instances_true"] >= 0) & (fragments >= 0))
        whole = Truth.build(event["instances_true"][known], 1)
        of_instances = majority_classes(event["instances_true"][known], event["semantics_true"][known], len(scheme))
        large = np.diff(whole.starts) >= min_voxels
        yield _Event(
            fragments,
            np.bincount(fragments[fragments >= 0], minlength=len(scores)),
            scores.argmax(axis=1) if len(scores) else np.zeros(0, np.int64),
            event["fragment_edges"],
            event["fragment_edge_scores"],
            truths,
            known,
            whole,
            {number: np.flatnonzero(large & (of_instances == number)) for number in range(len(scheme))},
        )


def _grid_values(event: _Event, metric: Metric, scheme: ClassScheme, linkage: str) -> dict[int, np.ndarray]:
    """Return by class number the (M, A, S) scores for one event, in the order of ``GRID``."""
    values = {number: np.empty([len(axis) for axis in GRID]) for number, _, _ in event.truths}
    for place in itertools.product(*(range(len(axis)) for axis in GRID)):
        if GRID.small[place[2]] <= 1 and place[1]:
            for table in values.values():
                table[place] = table[place[0], 0, place[2]]
            continue
        point = GraphThresholds(*(axis[index] for axis, index in zip(GRID, place, strict=True)))
        for number, value in event.values(metric, dict.fromkeys(scheme.classes, point), scheme, linkage).items():
            values[number][place] = value
    return values


def _best(values: list[np.ndarray], own: np.ndarray, before: GraphThresholds) -> GraphThresholds:
    """Return the best point of the grid, or the thresholds before where it is not surely better.

    Args:
        values: values of the metric over the grid, one array an event.
        own: (E,) values with the thresholds before.
        before: these.
    """
    means, events = mean_over_events(_stacked(values))
    if not events:
        return before
    place = np.unravel_index(int(means.argmax()), means.shape)
    gains = np.array([one[place] for one in values]) - own
    gains = gains[~np.isnan(gains)]
    if gains.mean() <= max(TIE, gains.std() / math.sqrt(len(gains))):
        return before
    return GraphThresholds(*(float(axis[index]) for axis, index in zip(GRID, place, strict=True)))


def _stacked(values: list[np.ndarray]) -> np.ndarray:
    """Return (E, M, A, S) values over the grid, E = 0 without events."""
    return np.array(values).reshape(-1, *(len(axis) for axis in GRID))
