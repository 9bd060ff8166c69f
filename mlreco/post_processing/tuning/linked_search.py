"""Grid search of the linked clusterer's thresholds, class by class."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from mlreco.post_processing.clustering.linked import LinkedClusterer
from mlreco.post_processing.clustering.pieces import Pieces
from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, EventReader, require_info
from mlreco.post_processing.settings.link_thresholds import LinkThresholds, resolve_link_thresholds
from mlreco.post_processing.tuning.events import ClassVoxels, class_voxels, values_by_class
from mlreco.post_processing.tuning.grid import TIE
from mlreco.post_processing.tuning.metrics import mean_over_events, tunable
from mlreco.post_processing.tuning.outcome import ThresholdSearch, TunedThresholds
from mlreco.post_processing.tuning.sample import Metric
from mlreco.semantics import ClassScheme, class_scheme

UNBOUND = 10.0
"""An embedding distance that no two voxels reach: links in space alone."""


class LinkGrid(NamedTuple):
    """Values of each threshold that are tried, all combinations of them; the fields are those of `LinkThresholds`."""

    voxel_distance: tuple[float, ...]
    embedding_distance: tuple[float, ...]
    join_distance: tuple[float, ...]
    min_voxels: tuple[float, ...]


GRID = LinkGrid(
    voxel_distance=(1.8, 2.5, 4.0, 7.0, 12.0, 20.0),
    embedding_distance=(0.015, 0.03, 0.06, 0.1, 0.15, 0.25, UNBOUND),
    join_distance=(0.0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4),
    min_voxels=(1.0, 5.0, 10.0, 20.0, 50.0, 100.0),
)
SWITCHED_OFF = {
    "embedding_distance": (UNBOUND, "links in space alone, the embedding parts nothing"),
    "join_distance": (0.0, "pieces are not joined"),
    "min_voxels": (1.0, "no piece is given to a larger one"),
}
"""Value of a threshold at which it does nothing, and what that means."""


class LinkedTuning(ThresholdSearch):
    """Outcome of a search."""

    heading = "Thresholds of the linked clusterer"
    switched_off = SWITCHED_OFF

    def head(self) -> list[str]:
        """Return the line above the table."""
        return [f"linked: highest {self.conditions()}"]


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
    before = _before(reader.info, scheme)
    values = values_by_class(voxels, len(scheme), lambda one: grid_values(one, measure), threads)
    own: dict[int, list[float]] = {number: [] for number in range(len(scheme))}
    for one in voxels:
        clusterer = LinkedClusterer(*before[scheme.classes[one.number]])
        labels = clusterer.fit_predict(*(one.arrays[name] for name in ("coordinates", "embeddings")))
        own[one.number].append(measure(one.truth.table(labels, int(labels.max()) + 1)))
    classes = {name: _best(values[number], own[number], before[name]) for number, name in enumerate(scheme.classes)}
    return LinkedTuning(classes, metric, (events.start, events.stop), min_voxels, semantics, GRID)


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
    distances = itertools.product(enumerate(GRID.voxel_distance), enumerate(GRID.embedding_distance))
    for (row, reach), (column, spread) in distances:
        pieces = Pieces.link(coordinates, embeddings, reach, spread)
        standing = [int(pieces.is_large(size).sum()) for size in GRID.min_voxels]
        for place, size in enumerate(GRID.min_voxels):
            if place and standing[place] == standing[place - 1]:
                values[row, column, :, place] = values[row, column, :, place - 1]
                continue
            before = None
            for i, instances in enumerate(pieces.joined_at(GRID.join_distance, size)):
                count = int(instances.max()) + 1
                if count != before:
                    value = metric(voxels.truth.table(instances[pieces.of_voxel].astype(np.int32), count))
                values[row, column, i, place], before = value, count
    return values


def _before(info: Mapping[str, Any], scheme: ClassScheme) -> dict[str, LinkThresholds]:
    """Return the thresholds that a file was clustered with, the shipped ones if by another clusterer."""
    used = json.loads(info.get("thresholds") or "{}")
    of_links = used and all(set(values) <= set(LinkThresholds._fields) for values in used.values())
    return resolve_link_thresholds(used if of_links else None, scheme)


def _best(values: list[np.ndarray], own: list[float], before: LinkThresholds) -> TunedThresholds:
    """Return the best point of the grid, or the thresholds before where it is not better.

    Args:
        values: values of the metric over the grid, one array an event.
        own: its values with the thresholds before.
        before: these.
    """
    shape = [len(axis) for axis in GRID]
    means, events = mean_over_events(np.array(values).reshape(-1, *shape))
    if not events:
        return TunedThresholds(before, math.nan, before, math.nan, 0, means)
    mean_before = float(mean_over_events(np.array(own))[0])
    place = np.unravel_index(int(means.argmax()), means.shape)
    best = LinkThresholds(*(float(axis[index]) for axis, index in zip(GRID, place, strict=True)))
    if mean_before > means[place] - TIE:
        return TunedThresholds(before, mean_before, before, mean_before, events, means)
    return TunedThresholds(before, mean_before, best, float(means[place]), events, means)
