"""Grid search of the greedy clusterer's thresholds, class by class (Koh et al. 2020, section III.C, Table II)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, EventReader, require_info
from mlreco.post_processing.evaluation.text_table import aligned, decimal
from mlreco.post_processing.settings.thresholds import Thresholds, thresholds_of_file
from mlreco.post_processing.tuning.events import ClassVoxels, class_voxels
from mlreco.post_processing.tuning.grid import HIGHEST_PROBABILITY, HIGHEST_SEED, TIE, Grid, best_point
from mlreco.post_processing.tuning.metrics import mean_over_events, tunable
from mlreco.post_processing.tuning.report import Search, number_or_none
from mlreco.post_processing.tuning.sample import ClassSample, Metric
from mlreco.progress import Progress
from mlreco.semantics import class_scheme
from mlreco.thread_pools import thread_pool

PRODUCTS = ("embeddings", "margins", "seediness")


@dataclass(frozen=True)
class TunedClass:
    """Outcome for one class.

    Attributes:
        before: thresholds that the file was clustered with.
        after: the best ones; those before where no point of the grid is better.
        value_before: mean of the metric over events with the thresholds before, NaN without events.
        value_after: likewise with the best ones.
        events: number of events behind these means.
        instances: number of true instances in them.
        values: (S, P) float64 means over the first, coarse grid; (0, 0) without events.
    """

    before: Thresholds
    after: Thresholds
    value_before: float
    value_after: float
    events: int
    instances: int
    values: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON can hold it."""
        return {
            "before": {**self.before._asdict(), "value": number_or_none(self.value_before)},
            "after": {**self.after._asdict(), "value": number_or_none(self.value_after)},
            "events": self.events,
            "true_instances": self.instances,
            "grid_values": self.values.tolist(),
        }


@dataclass(frozen=True)
class Tuning(Search):
    """Outcome of a search.

    Attributes:
        grid: the first, coarse grid.
    """

    heading = "Thresholds of the greedy clusterer"
    grid: Grid

    def table(self) -> str:
        """Return the paper's Table II with the metric before and after."""
        header = ["s0", "p0", f"{self.metric} after", "s0 before", "p0 before", f"{self.metric} before"]
        names, cells = [["class"]], [[*header, "events", "true instances"]]
        for name, one in self.classes.items():
            names.append([name])
            after, before = ((f"{point.seed:g}", f"{point.probability:g}") for point in (one.after, one.before))
            values = (*after, decimal(one.value_after), *before, decimal(one.value_before))
            cells.append([*values, str(one.events), str(one.instances)])
        return "\n".join([f"thresholds of highest {self.conditions()}", *aligned(names, cells), *self.notes()])

    def notes(self) -> list[str]:
        """Return a line for each class whose optimum is kept, at an end of the grid, or switches a term off."""
        notes = []
        for name, one in self.classes.items():
            if not one.events:
                continue
            if one.after == one.before:
                notes.append(f"{name}: no point of the grid is better than the thresholds before")
                continue
            if one.after.probability == 0:
                notes.append(f"{name}: p0 0: every voxel joins the first seed, the class is one instance")
            elif one.after.probability == HIGHEST_PROBABILITY:
                notes.append(f"{name}: p0 {HIGHEST_PROBABILITY:g} is an end of its grid; what is beyond was not tried")
            if one.after.seed == 0:
                notes.append(f"{name}: s0 0: any voxel may be a seed, the seediness ends nothing")
            elif one.after.seed == HIGHEST_SEED:
                notes.append(f"{name}: s0 {HIGHEST_SEED:g}: the class is one instance around its best voxel")
        return notes

    def found(self) -> dict[str, Any]:
        """Return the best thresholds of every class by its name."""
        return {name: one.after._asdict() for name, one in self.classes.items()}

    def to_json(self, source: str) -> str:
        """Return the outcome as JSON text, the means over the coarse grid included; undefined numbers are null."""
        grid = {"seed": self.grid.seed.tolist(), "probability": self.grid.probability.tolist()}
        return self.document(source, {}, {"grid": grid})


def tune(
    reader: EventReader,
    *,
    events: range,
    metric: str = "ari",
    min_voxels: int = MIN_VOXELS,
    semantics: Literal["predicted", "true"] = "predicted",
    threads: int | None = None,
) -> Tuning:
    """Search the thresholds of every class that give the highest mean over events of a metric.

    Of points that are equally good the centre of the plateau is taken (`grid.best_point`). The outcome does not depend
    on the number of threads. About 100 bytes a voxel are held in memory.

    Args:
        reader: output file with labels.
        events: numbers of the events to search on.
        metric: a name of ``metrics.TUNABLE``.
        min_voxels: true instances with fewer voxels are left out.
        semantics: cluster the voxels of each class in which the file was clustered (``predicted``) or of each true
            class.
        threads: samples in work at a time; all processors if None.

    Raises:
        UserError: an unknown metric, or a product that is needed is not in the file.
    """
    measure = tunable(metric)
    scheme = class_scheme(require_info(reader, "class_scheme"))
    before = thresholds_of_file(reader.info, scheme)
    voxels = list(class_voxels(reader, events, PRODUCTS, min_voxels, semantics))
    coarse = Grid.whole()
    with thread_pool(threads) as executor, Progress("tune", 2 * len(voxels), unit="x") as bar:
        samples: dict[int, list[ClassSample]] = {number: [] for number in range(len(scheme))}
        for one, sample in zip(voxels, executor.map(_sample, voxels), strict=True):
            samples[one.number].append(sample)
        classes = {
            name: _tune_class(samples[number], before[name], _Scorer(measure, executor, bar), coarse)
            for number, name in enumerate(scheme.classes)
        }
    return Tuning(classes, metric, (events.start, events.stop), min_voxels, semantics, coarse)


def _sample(voxels: ClassVoxels) -> ClassSample:
    embeddings, margins, seediness = (voxels.arrays[name] for name in PRODUCTS)
    return ClassSample.build(embeddings, margins, seediness, voxels.truth)


@dataclass(frozen=True)
class _Scorer:
    """Means of a metric over samples, computed side by side."""

    metric: Metric
    executor: Executor
    bar: Progress

    def __call__(self, samples: Sequence[ClassSample], grid: Grid, *, shown: bool = True) -> tuple[np.ndarray, int]:
        """Return the (S, P) means over the points of a grid, and the number of events behind them."""
        work = partial(ClassSample.scores, metric=self.metric, seeds=grid.seed, probabilities=grid.probability)
        values = []
        for found in self.executor.map(work, samples):
            values.append(found)
            self.bar.advance(int(shown))
        return mean_over_events(np.array(values))


def _tune_class(samples: list[ClassSample], before: Thresholds, scorer: _Scorer, coarse: Grid) -> TunedClass:
    if not samples:
        return TunedClass(before, before, math.nan, math.nan, 0, 0, np.empty((0, 0)))
    point = Grid(np.array([before.seed]), np.array([before.probability]))
    value_before, events = scorer(samples, point, shown=False)
    if not events:
        return TunedClass(before, before, math.nan, math.nan, 0, 0, np.empty((0, 0)))
    instances = sum(len(sample.truth) for sample in samples)
    values, _ = scorer(samples, coarse)
    row, column = best_point(values)
    fine = Grid.around(float(coarse.seed[row]), float(coarse.probability[column]))
    fine_values, _ = scorer(samples, fine)
    row, column = best_point(fine_values)
    after, value_after = Thresholds(float(fine.seed[row]), float(fine.probability[column])), fine_values[row, column]
    if value_before[0, 0] > value_after + TIE:
        after, value_after = before, value_before[0, 0]
    return TunedClass(before, after, float(value_before[0, 0]), float(value_after), events, instances, values)
