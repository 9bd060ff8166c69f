"""Fragments that are on purpose too small: voxels linked in space, in the embedding and in their class scores."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.clustering.linking import linked_components
from mlreco.post_processing.clustering.numbering import in_order_of_rows
from mlreco.post_processing.fragment_graph.blocks import morton_codes
from mlreco.post_processing.settings.class_values import Given, class_values
from mlreco.semantics import ClassScheme

NO_FRAGMENT = -1


class FragmentThresholds(NamedTuple):
    """How near voxels of one class must be to be linked.

    Attributes:
        voxel_distance: reach of a link in space, in voxels.
        embedding_distance: reach of a link in the embedding.
        score_distance: reach of a link in the class scores; infinite (``.inf``) where they do not matter.
    """

    voxel_distance: float
    embedding_distance: float
    score_distance: float


SHIPPED = {
    "HIP": FragmentThresholds(4.0, 0.05, 0.3),
    "MIP": FragmentThresholds(4.0, 0.06, 0.3),
    "Shower": FragmentThresholds(1.8, 0.12, 0.5),
    "Delta": FragmentThresholds(2.5, 0.2, 0.3),
    "Michel": FragmentThresholds(1.8, 0.2, 0.3),
}


def resolve_fragment_thresholds(given: Given, scheme: ClassScheme) -> dict[str, FragmentThresholds]:
    """Return the thresholds of every class of a scheme: those given, ``SHIPPED`` for the rest.

    Args:
        given: class name -> name of a field of ``FragmentThresholds`` -> number; or the path of such a file.
        scheme: the classes.

    Raises:
        UserError: what ``class_values`` refuses, or a value that is not above 0.
    """
    return class_values(given, scheme, FragmentThresholds, SHIPPED, _check)


def _check(name: str, thresholds: FragmentThresholds) -> None:
    for key, value in thresholds._asdict().items():
        if not value > 0:
            raise UserError(f"thresholds of {name}: {key} is {value:g}; a number above 0 is needed")


def make_fragments(
    coordinates: np.ndarray,
    embeddings: np.ndarray,
    scores: np.ndarray,
    semantics: np.ndarray,
    thresholds: dict[str, FragmentThresholds],
    scheme: ClassScheme,
) -> np.ndarray:
    """Cut the voxels of an event into fragments.

    Voxels i and j of one class are linked where ``(|x_i - x_j| / voxel_distance)^2 + (|e_i - e_j| /
    embedding_distance)^2 + (|s_i - s_j| / score_distance)^2 <= 1``; what hangs together is a fragment. Neither the
    partition nor the numbers depend on the order of rows.

    Args:
        coordinates: (N, 3) integers, in voxels.
        embeddings: (N, D) floats.
        scores: (N, C) floats, class scores.
        semantics: (N,) integers, class; voxels of class -1 get no fragment.
        thresholds: of every class.
        scheme: names of the classes.

    Returns:
        (N,) int32 fragment of each voxel in the order in which a Morton curve meets them, -1 for none.

    Raises:
        UserError: a class that the scheme does not have, or a value that is not finite.
    """
    _require_finite(embeddings, scores)
    if len(semantics) and int(semantics.max()) >= len(scheme):
        text = f"semantics hold {int(semantics.max())}"
        raise UserError(f"{text}; class scheme '{scheme.name}' ends at {len(scheme) - 1}")
    labels, count = np.full(len(coordinates), NO_FRAGMENT, np.int64), 0
    for number, name in enumerate(scheme.classes):
        rows = np.flatnonzero(semantics == number)
        if not len(rows):
            continue
        reach = thresholds[name]
        spaces = [coordinates[rows] / reach.voxel_distance, embeddings[rows] / reach.embedding_distance]
        if math.isfinite(reach.score_distance):
            spaces.append(scores[rows] / reach.score_distance)
        labels[rows] = linked_components(np.hstack(spaces), 1.0) + count
        count = int(labels.max()) + 1
    rows = np.argsort(morton_codes(np.ascontiguousarray(coordinates, np.int64)), kind="stable")
    rows = rows[labels[rows] != NO_FRAGMENT]
    fragments = np.full(len(coordinates), NO_FRAGMENT, np.int32)
    fragments[rows] = in_order_of_rows(labels[rows])
    return fragments


def _require_finite(embeddings: np.ndarray, scores: np.ndarray) -> None:
    for name, values in (("embeddings", embeddings), ("class scores", scores)):
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            row = int(np.argmax(bad))
            raise UserError(f"{name} hold {values[row].tolist()} in row {row}; finite numbers are needed")
