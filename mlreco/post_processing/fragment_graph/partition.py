"""Instances of an event from the scores of its fragments and of their pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.class_values import Given, class_values
from mlreco.post_processing.fragment_graph.agglomeration import AVERAGE, SUM, agglomerate
from mlreco.semantics import ClassScheme

LINKAGES = {"average": AVERAGE, "sum": SUM}


class GraphThresholds(NamedTuple):
    """How sure the network must be that two fragments are of one instance, by the class of the fragments.

    Attributes:
        merge: log-odds above which fragments are merged.
        attach: log-odds above which a small fragment is given to an instance of larger ones.
        small: fragments with fewer voxels are small.
    """

    merge: float
    attach: float
    small: float


SHIPPED = {name: GraphThresholds(0.0, 0.0, 1.0) for name in ("HIP", "MIP", "Shower", "Delta", "Michel")}


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


def partition(
    edges: np.ndarray,
    scores: np.ndarray,
    sizes: np.ndarray,
    classes: np.ndarray,
    thresholds: Mapping[str, GraphThresholds],
    scheme: ClassScheme,
    linkage: str = "average",
) -> np.ndarray:
    """Put fragments together.

    Fragments that are not small are merged by ``agglomerate``. A small one then goes to the instance of the one of
    them with which its score is the highest, if that is above the threshold; those that are left over are merged among
    themselves. A pair counts by its score less the mean of the thresholds of both classes.

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
    values = np.array([thresholds[name] for name in scheme.classes])[classes].reshape(-1, 3)
    merge, attach, small = values[:, 0], values[:, 1], sizes < values[:, 2]
    of_large = ~small[edges].any(axis=1)
    kind = LINKAGES[linkage]
    roots = agglomerate(edges[of_large], (scores - merge[edges].mean(axis=1))[of_large], len(sizes), kind)
    if small.any():
        rest = edges[~of_large]
        margin = scores[~of_large] - attach[rest].mean(axis=1)
        _attach(rest, margin, small, roots)
        alone = small & (roots == np.arange(len(sizes)))
        among = alone[rest].all(axis=1)
        groups = agglomerate(rest[among], margin[among], len(sizes), kind)
        roots = np.where(alone, groups, roots)
    _, firsts, inverse = np.unique(roots, return_index=True, return_inverse=True)
    order = np.empty(len(firsts), np.int64)
    order[np.argsort(firsts)] = np.arange(len(firsts))
    return order[inverse.reshape(-1)]


def _attach(edges: np.ndarray, scores: np.ndarray, small: np.ndarray, roots: np.ndarray) -> None:
    """Write the instance of its best larger partner for each small fragment into ``roots``, if it scores above 0."""
    fragments, partners, of_pairs = [], [], []
    for side in range(2):
        taken = small[edges[:, side]] & ~small[edges[:, 1 - side]]
        fragments.append(edges[taken, side])
        partners.append(edges[taken, 1 - side])
        of_pairs.append(scores[taken])
    fragment, partner, score = (np.concatenate(parts) for parts in (fragments, partners, of_pairs))
    order = np.lexsort((-score, fragment))
    _, first = np.unique(fragment[order], return_index=True)
    best = order[first]
    best = best[score[best] > 0]
    roots[fragment[best]] = roots[partner[best]]


def confidences(instances: np.ndarray, edges: np.ndarray, scores: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return (K,) float32, how sure the network is of each instance: the mean probability of what was decided.

    Every pair with a fragment of the instance was decided, to belong together or not, and has the probability of that;
    it counts by the voxels of its smaller fragment. An instance without pairs has 1.
    """
    count = int(instances.max(initial=-1)) + 1
    ends = instances[edges]
    inside = ends[:, 0] == ends[:, 1]
    right = 1 / (1 + np.exp(-np.clip(np.where(inside, scores, -scores), -60, 60)))
    weights = sizes[edges].min(axis=1).astype(np.float64)
    total, sure = np.zeros(count), np.zeros(count)
    for side in range(2):
        counted = np.where(inside & (side == 1), 0.0, weights)
        total += np.bincount(ends[:, side], counted, minlength=count)
        sure += np.bincount(ends[:, side], counted * right, minlength=count)
    return np.where(total > 0, sure / np.where(total > 0, total, 1), 1).astype(np.float32)
