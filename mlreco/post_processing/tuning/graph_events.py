"""Events of an output file as a search over the thresholds of the fragment graph needs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mlreco.post_processing.evaluation.evaluate import EventReader, class_product, require_products
from mlreco.post_processing.evaluation.found import majority_classes, partner_pairs
from mlreco.post_processing.fragment_graph.partition import GraphThresholds, attached, merge_thresholds, merged
from mlreco.post_processing.processors.graph_clusterer import GraphInstances
from mlreco.post_processing.tuning.sample import Metric
from mlreco.post_processing.tuning.truth import Truth
from mlreco.semantics import ClassScheme


@dataclass(frozen=True)
class GraphEvent:
    """The scores of the network for the fragments of an event, and the truth.

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
        last: what was merged last, by its linkage and thresholds. Merging takes most of the time, and
            neighbours on a grid mostly share it.
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
    last: dict[tuple[str, bytes], np.ndarray] = field(default_factory=dict)

    def values(
        self, metric: Metric, thresholds: Mapping[str, GraphThresholds], scheme: ClassScheme, linkage: str
    ) -> dict[int, float]:
        """Return the score of each class that has instances, by class number.

        It is the mean of the metric and of the share of the true instances that are found; the metric alone where the
        voxels of the class are all of instances of other classes.
        """
        instances = self._partition(thresholds, scheme, linkage)
        predicted = np.where(self.fragments >= 0, instances[self.fragments], 0).astype(np.int32)
        table = self.whole.table(predicted[self.known], len(instances))
        found = np.bincount(table.true_index, partner_pairs(table), minlength=len(self.whole))
        scores = {}
        for number, rows, truth in self.truths:
            counted = self.counted[number]
            value = metric(truth.table(predicted[rows], len(instances)))
            scores[number] = (value + found[counted].mean()) / 2 if len(counted) else value
        return scores

    def _partition(self, thresholds: Mapping[str, GraphThresholds], scheme: ClassScheme, linkage: str) -> np.ndarray:
        """Return the instances of the fragments, as ``partition`` does; one thread at a time may call it."""
        merge = merge_thresholds(self.classes, thresholds, scheme)
        key = linkage, merge.tobytes()
        if key not in self.last:
            self.last.clear()
            self.last[key] = merged(self.edges, self.scores, self.sizes, merge, linkage)
        fragments = self.edges, self.scores, self.sizes, self.classes
        return attached(self.last[key], *fragments, thresholds, scheme)


def read_graph_events(
    reader: EventReader, events: Iterable[int], scheme: ClassScheme, min_voxels: int, semantics: str
) -> Iterator[GraphEvent]:
    """Yield events with the scores of ``grappa`` for their fragments.

    Args:
        reader: output file with labels.
        events: numbers of the events.
        scheme: names of the classes.
        min_voxels: true instances with fewer voxels of a class do not count for it.
        semantics: ``predicted`` or ``true``: the classes by which voxels are selected.

    Raises:
        UserError: a product that is needed is not in the file.
    """
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
        yield GraphEvent(
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
