"""Grid search of the thresholds with which fragments are put together, class by class."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator
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
from mlreco.post_processing.evaluation.text_table import aligned, decimal
from mlreco.post_processing.fragment_graph.partition import SHIPPED, GraphThresholds, partition
from mlreco.post_processing.processors.graph_clusterer import GraphInstances
from mlreco.post_processing.settings.class_values import STAND_INS
from mlreco.post_processing.tuning.metrics import mean_over_events, tunable
from mlreco.post_processing.tuning.report import Search, number_or_none, numbers_or_none
from mlreco.post_processing.tuning.sample import Metric
from mlreco.post_processing.tuning.truth import Truth
from mlreco.progress import Progress
from mlreco.semantics import ClassScheme, class_scheme


class GraphGrid(NamedTuple):
    """Values of each threshold that are tried, all combinations of them; the fields are those of `GraphThresholds`."""

    merge: tuple[float, ...]
    attach: tuple[float, ...]
    small: tuple[float, ...]


GRID = GraphGrid(
    merge=(-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0),
    attach=(-20.0, -4.0, -2.0, 0.0),
    small=(1.0, 5.0, 10.0, 15.0),
)


@dataclass(frozen=True)
class TunedGraph:
    """Outcome for one class.

    Attributes:
        thresholds: the best ones; the shipped ones without events.
        mean: mean of the metric over events where all classes have these, NaN without events.
        events: number of events behind it.
        values: (M, A, S) float64 means over the grid; all NaN without events.
    """

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
            "grid_values": numbers_or_none(self.values),
        }


@dataclass(frozen=True)
class GraphTuning(Search):
    """Outcome of a search."""

    heading = "Thresholds of the fragment graph"

    def table(self) -> str:
        """Return the outcome as text."""
        names = [["class"], *([name] for name in self.classes)]
        cells = [[*GraphThresholds._fields, self.metric, "events"]]
        for one in self.classes.values():
            cells.append([*(f"{value:g}" for value in one.thresholds), decimal(one.mean), str(one.events)])
        return "\n".join([f"graph: highest {self.conditions()}", *aligned(names, cells)])

    def found(self) -> dict[str, Any]:
        """Return the best thresholds of every class by its name."""
        return {name: one.thresholds._asdict() for name, one in self.classes.items()}

    def to_json(self, source: str) -> str:
        """Return the outcome as JSON text, the means over the grid included; undefined numbers are null."""
        return self.document(source, {}, {"grid": GRID._asdict()})


@dataclass(frozen=True)
class _Event:
    """What the network said of the fragments of an event, and the truth of each class: number, rows and instances."""

    fragments: np.ndarray
    sizes: np.ndarray
    classes: np.ndarray
    edges: np.ndarray
    scores: np.ndarray
    truths: list[tuple[int, np.ndarray, Truth]]


def tune_graph(
    reader: EventReader,
    *,
    events: range,
    metric: str = "ari",
    min_voxels: int = MIN_VOXELS,
    semantics: Literal["predicted", "true"] = "predicted",
    threads: int | None = None,
) -> GraphTuning:
    """Search the thresholds of every class that give the highest mean over events of a metric.

    At each point of the grid all classes have the same thresholds; each class then takes those at which its own voxels
    do best, if they gain more over the shipped ones than the standard error of this gain. Of points that are equally
    good the first in the order of ``GRID`` is taken. The outcome does not depend on the number of threads.

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
    values: dict[int, list[np.ndarray]] = {number: [] for number in range(len(scheme))}
    read = list(_read(reader, events, scheme, min_voxels, semantics))
    with ThreadPoolExecutor(threads or os.cpu_count()) as executor, Progress("tune", len(read), unit="x") as bar:
        for found in executor.map(lambda event: _grid_values(event, measure, scheme), read):
            for number, table in found.items():
                values[number].append(table)
            bar.advance()
    classes = {
        name: _best(values[number], SHIPPED[STAND_INS.get(name, name)]) for number, name in enumerate(scheme.classes)
    }
    return GraphTuning(classes, metric, (events.start, events.stop), min_voxels, semantics)


def _read(
    reader: EventReader, events: Iterable[int], scheme: ClassScheme, min_voxels: int, semantics: str
) -> Iterator[_Event]:
    chosen = class_product(semantics)
    needed = (*GraphInstances.requires, "instances_true", chosen)
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
        yield _Event(
            fragments,
            np.bincount(fragments[fragments >= 0], minlength=len(scores)),
            scores.argmax(axis=1) if len(scores) else np.zeros(0, np.int64),
            event["fragment_edges"],
            event["fragment_edge_scores"],
            truths,
        )


def _grid_values(event: _Event, metric: Metric, scheme: ClassScheme) -> dict[int, np.ndarray]:
    """Return by class number the (M, A, S) values of a metric for one event, in the order of ``GRID``."""
    values = {number: np.empty([len(axis) for axis in GRID]) for number, _, _ in event.truths}
    for place in itertools.product(*(range(len(axis)) for axis in GRID)):
        if GRID.small[place[2]] <= 1 and place[1]:
            for table in values.values():
                table[place] = table[place[0], 0, place[2]]
            continue
        point = GraphThresholds(*(axis[index] for axis, index in zip(GRID, place, strict=True)))
        of_all = dict.fromkeys(scheme.classes, point)
        instances = partition(event.edges, event.scores, event.sizes, event.classes, of_all, scheme)
        predicted = np.where(event.fragments >= 0, instances[event.fragments], 0).astype(np.int32)
        for number, rows, truth in event.truths:
            values[number][place] = metric(truth.table(predicted[rows], len(instances)))
    return values


def _best(values: list[np.ndarray], default: GraphThresholds) -> TunedGraph:
    means, events = mean_over_events(np.array(values).reshape(-1, *(len(axis) for axis in GRID)))
    if not events:
        return TunedGraph(default, math.nan, 0, means)
    place = np.unravel_index(int(means.argmax()), means.shape)
    usual = tuple(np.intp(axis.index(value)) for axis, value in zip(GRID, default, strict=True))
    gains = np.array([one[place] - one[usual] for one in values])
    gains = gains[~np.isnan(gains)]
    if gains.mean() <= gains.std() / math.sqrt(len(gains)):
        place = usual
    best = GraphThresholds(*(float(axis[index]) for axis, index in zip(GRID, place, strict=True)))
    return TunedGraph(best, float(means[place]), events, means)
