"""Instances of an event from the scores of its fragments and of their pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.clustering.numbering import in_order_of_rows
from mlreco.post_processing.fragment_graph.agglomeration import AVERAGE, SUM, agglomerate
from mlreco.post_processing.fragment_graph.contraction import contract
from mlreco.post_processing.settings.class_values import Given, class_values
from mlreco.semantics import ClassScheme

LINKAGES = {"average": AVERAGE, "sum": SUM}


class GraphThresholds(NamedTuple):
    """How sure the network must be that two fragments are of one instance, by class.

    Attributes:
        merge: log-odds above which fragments are merged.
        attach: log-odds above which a small instance is given to a larger one; far below 0: in any case.
        small: instances with fewer voxels are small.
    """

    merge: float
    attach: float
    small: float


SHIPPED = {name: GraphThresholds(0.0, -20.0, 10.0) for name in ("HIP", "MIP", "Shower", "Delta", "Michel")}
"""Instances of fewer than 10 voxels are hardly ever right, so they are given to the instance they most likely belong
to."""

TOGETHER = 1.0
"""Log-odds above which instances are of one interaction; chosen on 200 thin and 80 fat events."""


def resolve_graph_thresholds(given: Given, scheme: ClassScheme) -> dict[str, GraphThresholds]:
    """Return the thresholds of every class of a scheme: those given, ``SHIPPED`` for the rest.

    Args:
        given: class name -> name of a field of ``GraphThresholds`` -> number; or the path of a file, as ``mlreco tune
            --clusterer graph`` writes it.
        scheme: the classes.

    Raises:
        UserError: what ``class_values`` refuses, or a value that is not finite.
    """
    return class_values(given, scheme, GraphThresholds, SHIPPED, _check)


def _check(name: str, thresholds: GraphThresholds) -> None:
    for key, value in thresholds._asdict().items():
        if not np.isfinite(value):
            raise UserError(f"thresholds of {name}: {key} is {value:g}; a finite number is needed")


class _ByClass(NamedTuple):
    """The thresholds of all classes, (C,) float64 each."""

    merge: np.ndarray
    attach: np.ndarray
    small: np.ndarray


def partition(
    edges: np.ndarray,
    scores: np.ndarray,
    sizes: np.ndarray,
    classes: np.ndarray,
    thresholds: Mapping[str, GraphThresholds],
    scheme: ClassScheme,
    linkage: str = "average",
) -> np.ndarray:
    """Put fragments together to instances.

    Fragments are merged by ``agglomerate`` of the score of a pair less the mean of the thresholds ``merge`` of both
    classes. Then an instance with fewer than ``small`` voxels goes to the one, of those that are not small, with which
    its pairs have the highest mean score, if that is above ``attach``. These two thresholds are those of the class of
    its largest fragment. In all means a pair is weighted by the voxels of its smaller fragment.

    Args:
        edges: (E, 2) integers, pairs of fragments.
        scores: (E,) log-odds that they belong together.
        sizes: (F,) voxels of the fragments.
        classes: (F,) class of the fragments.
        thresholds: of every class.
        scheme: names of the classes.
        linkage: ``average`` or ``sum``.

    Returns:
        (F,) int64 number of the instance of each fragment, from 0 in the order of their first fragments.
    """
    merge = merge_thresholds(classes, thresholds, scheme)
    instances = merged(edges, scores, sizes, merge, linkage)
    return attached(instances, edges, scores, sizes, classes, thresholds, scheme)


def merge_thresholds(classes: np.ndarray, thresholds: Mapping[str, GraphThresholds], scheme: ClassScheme) -> np.ndarray:
    """Return (F,) float64 the threshold ``merge`` of each fragment, that of its class; arguments as in `partition`."""
    return _by_class(thresholds, scheme).merge[classes]


def merged(
    edges: np.ndarray, scores: np.ndarray, sizes: np.ndarray, merge: np.ndarray, linkage: str = "average"
) -> np.ndarray:
    """Return (F,) int64 the instances before small ones are given away, the first step of :func:`partition`.

    ``merge`` (F,) is as of :func:`merge_thresholds`, the other arguments are as in ``partition``.
    """
    margins = scores - (merge[edges[:, 0]] + merge[edges[:, 1]]) / 2
    return in_order_of_rows(agglomerate(edges, margins, len(sizes), LINKAGES[linkage], _pair_weights(edges, sizes)))


def attached(
    instances: np.ndarray,
    edges: np.ndarray,
    scores: np.ndarray,
    sizes: np.ndarray,
    classes: np.ndarray,
    thresholds: Mapping[str, GraphThresholds],
    scheme: ClassScheme,
) -> np.ndarray:
    """Give small instances away, the second step of :func:`partition`, which says what is returned.

    ``instances`` (F,) are as :func:`merged` returns them, the other arguments as in ``partition``.
    """
    targets = _targets(instances, edges, scores, sizes, classes, _by_class(thresholds, scheme))
    return in_order_of_rows(targets[instances])


def _by_class(thresholds: Mapping[str, GraphThresholds], scheme: ClassScheme) -> _ByClass:
    return _ByClass(*np.array([thresholds[name] for name in scheme.classes]).T)


def _pair_weights(edges: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return (E,) float64, how much each pair counts: the voxels of its smaller fragment."""
    return np.minimum(sizes[edges[:, 0]], sizes[edges[:, 1]]).astype(np.float64)


def _targets(
    instances: np.ndarray,
    edges: np.ndarray,
    scores: np.ndarray,
    sizes: np.ndarray,
    classes: np.ndarray,
    of_classes: _ByClass,
) -> np.ndarray:
    """Return for each instance the one that it is given to: itself, or a larger one where it is small."""
    count = int(instances.max(initial=-1)) + 1
    largest = np.empty(count, np.int64)
    by_size = np.argsort(sizes, kind="stable")
    largest[instances[by_size]] = by_size
    small = np.bincount(instances, sizes, minlength=count) < of_classes.small[classes[largest]]
    one, other = instances[edges[:, 0]], instances[edges[:, 1]]
    differ = small[one] != small[other]
    one, other, weights = one[differ], other[differ], _pair_weights(edges[differ], sizes)
    pairs, means, _ = contract(
        np.where(small[one], one, other), np.where(small[one], other, one), scores[differ], weights, count
    )
    order = np.lexsort((-means, pairs[:, 0]))
    _, first = np.unique(pairs[order, 0], return_index=True)
    best = order[first]
    best = best[means[best] > of_classes.attach[classes[largest[pairs[best, 0]]]]]
    target = np.arange(count)
    target[pairs[best, 0]] = pairs[best, 1]
    return target


def group_instances(
    instances: np.ndarray, edges: np.ndarray, scores: np.ndarray, sizes: np.ndarray, threshold: float = TOGETHER
) -> np.ndarray:
    """Put instances together to interactions: average linkage of the scores of all pairs between two instances.

    A pair counts by the voxels of its smaller fragment.

    Args:
        instances: (F,) instance of each fragment, from 0.
        edges: (E, 2) pairs of fragments.
        scores: (E,) log-odds that they are of one interaction.
        sizes: (F,) voxels of the fragments.
        threshold: log-odds above which two groups are one interaction.

    Returns:
        (K,) int64 number of the interaction of each instance, from 0 in the order of their first instances.
    """
    count = int(instances.max(initial=-1)) + 1
    one, other = instances[edges[:, 0]], instances[edges[:, 1]]
    between = one != other
    one, other = np.minimum(one, other)[between], np.maximum(one, other)[between]
    pairs, means, weights = contract(
        one, other, scores[between] - threshold, _pair_weights(edges[between], sizes), count
    )
    return in_order_of_rows(agglomerate(pairs, means, count, AVERAGE, weights))


def confidences(instances: np.ndarray, edges: np.ndarray, scores: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return (K,) float32, how sure the network is of each instance: the mean probability of its decisions.

    A decision is whether a pair with a fragment of the instance belongs together, and has the network's probability. It
    is weighted by the voxels of the smaller fragment. An instance without pairs has 1.
    """
    count = int(instances.max(initial=-1)) + 1
    ends = [instances[edges[:, side]] for side in range(2)]
    inside = ends[0] == ends[1]
    right = 1 / (1 + np.exp(-np.clip(np.where(inside, scores, -scores), -60, 60)))
    weights = _pair_weights(edges, sizes)
    total, sure = np.zeros(count), np.zeros(count)
    for side in range(2):
        counted = np.where(inside & (side == 1), 0.0, weights)
        total += np.bincount(ends[side], counted, minlength=count)
        sure += np.bincount(ends[side], counted * right, minlength=count)
    return np.where(total > 0, sure / np.where(total > 0, total, 1), 1).astype(np.float32)
