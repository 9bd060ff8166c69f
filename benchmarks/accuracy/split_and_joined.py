"""An alternative that was tried: greedy fragments, split in space and joined again in the embedding."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from mlreco.post_processing.clustering.fragments import fragments_by_class
from mlreco.post_processing.clustering.greedy import GreedyClusterer
from mlreco.post_processing.clustering.linking import linked_components
from mlreco.post_processing.clustering.pieces import Pieces
from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, EventReader
from mlreco.post_processing.metrics.rand_index import rand_index_of
from mlreco.post_processing.processor import PostProcessor
from mlreco.post_processing.tuning.events import class_voxels
from mlreco.post_processing.tuning.linked_search import GRID
from mlreco.semantics import PILARNET, ClassScheme

PRODUCTS = ("coordinates", "embeddings", "margins", "seediness")
FAR = 10.0
"""Puts different fragments out of reach of each other, in units of the reach of a link."""


def split(thresholds: Mapping[str, float], reach: float, *arrays: np.ndarray) -> Pieces:
    """Return the parts of the greedy clusterer's instances that hang together in space.

    Args:
        thresholds: ``seed`` and ``probability``.
        reach: voxels up to so far apart hang together.
        arrays: those of ``PRODUCTS``, of one class of one event.
    """
    coordinates, *embedded = arrays
    fragments = GreedyClusterer(thresholds["seed"], thresholds["probability"]).fit_predict(*embedded)
    apart = np.hstack([coordinates / reach, FAR * fragments[:, None]])
    return Pieces.of(linked_components(apart, 1.0), embedded[0])


def tune_split(
    reader: EventReader, thresholds: Mapping[str, Mapping[str, float]], events: range
) -> dict[str, dict[str, float]]:
    """Return for every class the reach, the join distance and the size of highest mean ARI on voxels of true class."""
    names = list(reader.info["classes"])
    points = list(itertools.product(GRID.voxel_distance, GRID.join_distance, GRID.min_voxels))
    values = {name: [] for name in names}
    for voxels in class_voxels(reader, events, PRODUCTS, MIN_VOXELS, "true"):
        name, found = names[voxels.number], []
        for reach in GRID.voxel_distance:
            pieces = split(thresholds[name], reach, *(voxels.arrays[product] for product in PRODUCTS))
            for join_distance, size in itertools.product(GRID.join_distance, GRID.min_voxels):
                labels = pieces.joined(join_distance, size)[pieces.of_voxel].astype(np.int32)
                found.append(rand_index_of(voxels.truth.table(labels, int(labels.max()) + 1)))
        values[name].append(found)
    best = {name: points[int(np.mean(rows, axis=0).argmax())] for name, rows in values.items() if rows}
    keys = ("reach", "join_distance", "min_voxels")
    return {name: dict(zip(keys, best.get(name, points[0]), strict=True)) for name in names}


class SplitAndJoined(PostProcessor):
    """Adds ``fragments`` of this alternative.

    Args:
        class_scheme: the classes.
        thresholds: class name -> ``{seed, probability}``.
        joining: class name -> ``{reach, join_distance, min_voxels}``.
    """

    requires = ("semantics", *PRODUCTS)
    provides = ("fragments",)

    def __init__(
        self,
        class_scheme: ClassScheme = PILARNET,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        joining: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._greedy, self._joining = thresholds or {}, joining or {}

    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the fragments of an event."""
        arrays = [event[product] for product in PRODUCTS]

        def cluster(name: str, rows: np.ndarray) -> np.ndarray:
            joining = self._joining[name]
            pieces = split(self._greedy[name], joining["reach"], *(values[rows] for values in arrays))
            return pieces.joined(joining["join_distance"], joining["min_voxels"])[pieces.of_voxel]

        return {"fragments": fragments_by_class(event["semantics"], len(arrays[0]), cluster, scheme)}
