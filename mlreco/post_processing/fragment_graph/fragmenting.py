"""Fragments that are too small on purpose: voxels linked in space, in the embedding and in their class scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled
from mlreco.errors import UserError
from mlreco.post_processing.clustering.numbering import in_order_of_rows
from mlreco.post_processing.fragment_graph.absorbing import absorb_small
from mlreco.post_processing.fragment_graph.blocks import morton_codes
from mlreco.post_processing.fragment_graph.linked_voxels import linked_voxels, voxel_numbers
from mlreco.post_processing.settings.class_values import Given, class_values
from mlreco.semantics import ClassScheme

NO_FRAGMENT = -1
ABSORBED_WITHIN = 1.5
"""Reaches in the embedding up to which a voxel of a small fragment is absorbed."""


class FragmentThresholds(NamedTuple):
    """How near voxels of one class must be to be linked.

    Attributes:
        voxel_distance: reach of a link in space, in voxels.
        embedding_distance: reach of a link in the embedding.
        score_distance: reach of a link in the class scores; infinite (``.inf``) where they do not matter.
        smallest: voxels of a fragment with fewer join, each on its own, the touching fragment that is nearest in the
            embedding and has so many, if that is within `ABSORBED_WITHIN` reaches of it; 1: none does.
    """

    voxel_distance: float
    embedding_distance: float
    score_distance: float
    smallest: float = 1.0


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
    events: np.ndarray | None = None,
) -> np.ndarray:
    """Cut the voxels of events into fragments.

    Voxels i and j of one class and event are linked where ``(|x_i - x_j| / voxel_distance)^2 + (|e_i - e_j| /
    embedding_distance)^2 + (|s_i - s_j| / score_distance)^2 <= 1``; a connected component is a fragment, but for those
    of fewer than ``smallest`` voxels. Neither the partition nor the numbers depend on the order of rows.

    Args:
        coordinates: (N, 3) integers, in voxels.
        embeddings: (N, D) floats.
        scores: (N, C) floats, class scores.
        semantics: (N,) integers, class; voxels of class -1 get no fragment.
        thresholds: of every class.
        scheme: names of the classes.
        events: (N,) integers from 0, event of each voxel, ascending; None for voxels of one event.

    Returns:
        (N,) int32 fragment of each voxel in its event, in the order in which a Morton curve meets them; -1 for none.

    Raises:
        UserError: a class that the scheme does not have, or a value that is not finite.
    """
    events = np.zeros(len(coordinates), np.int64) if events is None else events
    _require_finite(embeddings, scores, events)
    if len(semantics) and int(semantics.max()) >= len(scheme):
        text = f"semantics hold {int(semantics.max())}"
        raise UserError(f"{text}; class scheme '{scheme.name}' ends at {len(scheme) - 1}")
    labels, count = np.full(len(coordinates), NO_FRAGMENT, np.int64), 0
    for number, rows in enumerate(_rows_by_class(coordinates, semantics, events, len(scheme))):
        if not len(rows):
            continue
        reach = thresholds[scheme.classes[number]]
        places, embedded, of_voxels = coordinates[rows], embeddings[rows], events[rows]
        alike = ((embedded, reach.embedding_distance), (scores[rows], reach.score_distance))
        linked = linked_voxels(places, reach.voxel_distance, alike, events=of_voxels)
        if reach.smallest > 1:
            near = ABSORBED_WITHIN * reach.embedding_distance
            linked = in_order_of_rows(absorb_small(places, embedded, linked, reach.smallest, near, of_voxels))
        labels[rows] = linked + count
        count += int(linked.max()) + 1
    return _numbered(labels, morton_codes(np.ascontiguousarray(coordinates, np.int64)), events, count)


def _rows_by_class(
    coordinates: np.ndarray, semantics: np.ndarray, events: np.ndarray, classes: int
) -> list[np.ndarray]:
    """Return the rows of the voxels of each class; one sort lets the searches in a class move along lines of voxels."""
    rows = np.flatnonzero(semantics >= 0)
    if len(rows):
        groups = semantics[rows].astype(np.int64) * (int(events.max()) + 1) + events[rows]
        numbers = voxel_numbers(coordinates[rows], groups, 0)
        rows = rows[np.argsort(semantics[rows] if numbers is None else numbers[0], kind="stable")]
    return np.split(rows, np.searchsorted(semantics[rows], np.arange(1, classes)))


def _numbered(labels: np.ndarray, codes: np.ndarray, events: np.ndarray, count: int) -> np.ndarray:
    """Return (N,) int32 the same partition, parts of each event numbered by their least code; -1 stays."""
    first, event_of = _beginnings(labels, codes, events, count)
    order = np.lexsort((first, event_of))
    number = np.full(count + 1, NO_FRAGMENT, np.int32)
    number[order] = np.arange(count) - np.searchsorted(event_of[order], event_of[order])
    return number[labels]


@compiled
def _beginnings(labels: np.ndarray, codes: np.ndarray, events: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the least code of each of ``count`` parts, and its event."""
    first, event_of = np.full(count, np.iinfo(np.int64).max), np.empty(count, np.int64)
    for row in range(len(labels)):
        label = labels[row]
        if label != NO_FRAGMENT:
            first[label], event_of[label] = min(first[label], codes[row]), events[row]
    return first, event_of


def _require_finite(embeddings: np.ndarray, scores: np.ndarray, events: np.ndarray) -> None:
    for name, values in (("embeddings", embeddings), ("class scores", scores)):
        finite = np.isfinite(values)
        if not finite.all():
            row = int(np.argmin(finite.all(axis=1)))
            place = row - int(np.searchsorted(events, events[row]))
            raise UserError(f"{name} hold {values[row].tolist()} in row {place}; finite numbers are needed")
