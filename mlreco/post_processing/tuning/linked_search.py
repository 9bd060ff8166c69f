"""Grid search of the linked clusterer's thresholds, class by class."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mlreco.post_processing.class_values import STAND_INS
from mlreco.post_processing.evaluation import MIN_VOXELS, EventReader, require_info
from mlreco.post_processing.link_thresholds import SHIPPED, LinkThresholds
from mlreco.post_processing.pieces import Pieces
from mlreco.post_processing.text_table import aligned, decimal
from mlreco.post_processing.tuning.events import ClassVoxels, class_voxels, values_by_class
from mlreco.post_processing.tuning.metrics import mean_over_events, tunable
from mlreco.post_processing.tuning.report import Search, number_or_none, values_file
from mlreco.post_processing.tuning.sample import Metric
from mlreco.semantics import class_scheme

UNBOUND = 10.0
"""An embedding distance that no two voxels reach: links in space alone."""
GRID = LinkThresholds(
    voxel_distance=(1.8, 2.5, 4.0, 7.0, 12.0, 20.0),
    embedding_distance=(0.015, 0.03, 0.06, 0.1, 0.15, 0.25, UNBOUND),
    join_distance=(0.0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4),
    min_voxels=(1.0, 5.0, 10.0, 20.0, 50.0, 100.0),
)
"""Values of each threshold that are tried, all combinations of them."""


@dataclass(frozen=True)
class TunedLinks:
    """Outcome for one class.

    Attributes:
        thresholds: the best ones; the shipped ones without events.
        mean: mean of the metric over events with them, NaN without events.
        events: number of events behind it.
        values: (V, E, J, M) float64 means over the grid; all NaN without events.
    """

    thresholds: LinkThresholds
    mean: float
    events: int
    values: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON can hold it."""
        values = np.where(np.isnan(self.values), None, self.values).tolist()
        found = {"mean": number_or_none(self.mean), "events": self.events, "grid_values": values}
        return {**self.thresholds._asdict(), **found}


@dataclass(frozen=True)
class LinkedTuning(Search):
    """Outcome of a search."""

    def table(self) -> str:
        """Return the outcome as text."""
        names = [["class"], *([name] for name in self.classes)]
        cells = [[*LinkThresholds._fields, self.metric, "events"]]
        for one in self.classes.values():
            cells.append([*(f"{value:g}" for value in one.thresholds), decimal(one.mean), str(one.events)])
        return "\n".join([f"linked: highest {self.conditions()}", *aligned(names, cells)])

    def text(self, source: str) -> str:
        """Return the text of a thresholds file, ``source`` being the file that they were found on."""
        values = {name: one.thresholds._asdict() for name, one in self.classes.items()}
        return values_file("Thresholds of the linked clusterer", source, self.table(), values)

    def to_json(self, source: str) -> str:
        """Return the outcome as JSON text, the means over the grid included; undefined numbers are null."""
        return self.document(source, {}, {"grid": GRID._asdict()})


def tune_linked(
    reader: EventReader,
    *,
    events: range,
    metric: str = "ari",
    min_voxels: int = MIN_VOXELS,
    semantics: Literal["predicted", "true"] = "predicted",
    threads: int | None = None,
) -> LinkedTuning:
    """Search the thresholds of every class that give the highest mean over events of a metric.

    Voxels are linked once for each pair of distances; joining then works on pieces, and where a longer step joins
    nothing more, or a larger size leaves as many pieces, nothing is computed again. Of points that are equally good
    the first in the order of ``GRID`` is taken. The outcome does not depend on the number of threads.

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
    voxels = list(class_voxels(reader, events, ("coordinates", "embeddings"), min_voxels, semantics))
    values = values_by_class(voxels, len(scheme), lambda one: grid_values(one, measure), threads)
    classes = {
        name: _best(values[number], SHIPPED.get(STAND_INS.get(name, name)))
        for number, name in enumerate(scheme.classes)
    }
    return LinkedTuning(classes, metric, (events.start, events.stop), min_voxels, semantics)


def grid_values(voxels: ClassVoxels, metric: Metric) -> np.ndarray:
    """Return the values of a metric for one class of one event.

    Args:
        voxels: with ``coordinates`` and ``embeddings``.
        metric: function of a contingency table.

    Returns:
        (V, E, J, M) float64, in the order of ``GRID``.
    """
    coordinates, embeddings = (voxels.arrays[name] for name in ("coordinates", "embeddings"))
    values = np.empty([len(axis) for axis in GRID])
    for (row, reach), (column, spread) in itertools.product(enumerate(GRID[0]), enumerate(GRID[1])):
        pieces = Pieces.link(coordinates, embeddings, reach, spread)
        standing = [int(pieces.is_large(size).sum()) for size in GRID[3]]
        for place, size in enumerate(GRID[3]):
            if place and standing[place] == standing[place - 1]:
                values[row, column, :, place] = values[row, column, :, place - 1]
                continue
            before = None
            for i, instances in enumerate(pieces.joined_at(GRID[2], size)):
                count = int(instances.max()) + 1
                if count != before:
                    value = metric(voxels.truth.table(instances[pieces.of_voxel].astype(np.int32), count))
                values[row, column, i, place], before = value, count
    return values


def _best(values: list[np.ndarray], default: LinkThresholds | None) -> TunedLinks:
    shape = [len(axis) for axis in GRID]
    means, events = mean_over_events(np.array(values).reshape(-1, *shape))
    if not events:
        return TunedLinks(default or LinkThresholds(*(axis[0] for axis in GRID)), math.nan, 0, means)
    place = np.unravel_index(int(means.argmax()), means.shape)
    best = LinkThresholds(*(float(axis[index]) for axis, index in zip(GRID, place, strict=True)))
    return TunedLinks(best, float(means[place]), events, means)
