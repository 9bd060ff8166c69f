"""Search of the parameter of a baseline, class by class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.baselines.methods import BASELINES, Baseline, baseline
from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, EventReader
from mlreco.post_processing.evaluation.text_table import aligned, decimal
from mlreco.post_processing.tuning.events import ClassVoxels, class_voxels, values_by_class
from mlreco.post_processing.tuning.grid import best_point
from mlreco.post_processing.tuning.metrics import mean_over_events, tunable
from mlreco.post_processing.tuning.report import Search, number_or_none, numbers_or_none
from mlreco.post_processing.tuning.sample import Metric


@dataclass(frozen=True)
class TunedValue:
    """Outcome for one class.

    Attributes:
        value: the best value of the parameter; the default without events.
        mean: mean of the metric over events with it, NaN without events.
        events: number of events behind it.
        means: (V,) float64 means with every candidate.
    """

    value: float
    mean: float
    events: int
    means: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON can hold it."""
        return {
            "value": self.value,
            "mean": number_or_none(self.mean),
            "events": self.events,
            "means": numbers_or_none(self.means),
        }


@dataclass(frozen=True)
class BaselineTuning(Search):
    """Outcome of a search.

    Attributes:
        name: the baseline.
    """

    name: str

    @property
    def heading(self) -> str:  # type: ignore[override]  # depends on the baseline here
        """First words of the file."""
        return f"Baseline '{self.name}'"

    def values(self) -> dict[str, float]:
        """Return the best value of every class by its name."""
        return {name: one.value for name, one in self.classes.items()}

    def found(self) -> dict[str, Any]:
        """Return what ``read_baseline_values`` reads."""
        return {self.name: self.values()}

    def table(self) -> str:
        """Return the outcome as text."""
        names = [["class"], *([name] for name in self.classes)]
        cells = [[BASELINES[self.name].parameter, self.metric, "events"]]
        cells += [[f"{one.value:g}", decimal(one.mean), str(one.events)] for one in self.classes.values()]
        candidates = BASELINES[self.name].candidates
        ends = [
            f"{name}: {one.value:g} is an end of its grid; what is beyond was not tried"
            for name, one in self.classes.items()
            if one.events and one.value in (candidates[0], candidates[-1])
        ]
        return "\n".join([f"{self.name}: highest {self.conditions()}", *aligned(names, cells), *ends])

    def to_json(self, source: str) -> str:
        """Return the outcome as JSON text, the means with every candidate included; undefined numbers are null."""
        candidates = list(BASELINES[self.name].candidates)
        return self.document(source, {"baseline": self.name}, {"candidates": candidates})


def tune_baseline(
    reader: EventReader,
    name: str,
    *,
    events: range,
    metric: str = "ari",
    min_voxels: int = MIN_VOXELS,
    semantics: Literal["predicted", "true"] = "predicted",
    threads: int | None = None,
) -> BaselineTuning:
    """Search the candidate of a baseline's parameter that gives each class the highest mean over events of a metric.

    Of candidates that are equally good the middle of the longest run is taken.

    Args:
        reader: output file with labels.
        name: the baseline.
        events: numbers of the events to search on.
        metric: a name of ``metrics.TUNABLE``.
        min_voxels: true instances with fewer voxels are left out.
        semantics: cluster the voxels of each class in which the file was clustered (``predicted``) or of each true
            class.
        threads: samples in work at a time; all processors if None.

    Raises:
        UserError: an unknown baseline or metric, a baseline without a parameter, or a product is not in the file.
    """
    method, measure = baseline(name), tunable(metric)
    if not method.candidates:
        raise UserError(f"baseline '{name}' has nothing to tune but thresholds: tune without --baseline")
    names = [str(class_name) for class_name in reader.info["classes"]]
    voxels = list(class_voxels(reader, events, method.requires, min_voxels, semantics))
    values = values_by_class(voxels, len(names), lambda one: _scores(one, method, measure), threads)
    classes = {class_name: _best(values[number], method) for number, class_name in enumerate(names)}
    return BaselineTuning(classes, metric, (events.start, events.stop), min_voxels, semantics, name)


def _scores(voxels: ClassVoxels, method: Baseline, metric: Metric) -> np.ndarray:
    """Return the (V,) values of a metric with every candidate; noise is one more cluster."""
    scores = []
    for value in method.candidates:
        labels = method.cluster(*(voxels.arrays[name] for name in method.requires), value)
        labels = labels - min(int(labels.min()), 0)
        scores.append(metric(voxels.truth.table(labels, int(labels.max()) + 1)))
    return np.array(scores)


def _best(values: list[np.ndarray], method: Baseline) -> TunedValue:
    means, events = mean_over_events(np.array(values).reshape(-1, len(method.candidates)))
    if not events:
        return TunedValue(float(method.default or 0), math.nan, 0, means)
    _, best = best_point(means[None])
    return TunedValue(method.candidates[best], float(means[best]), events, means)
