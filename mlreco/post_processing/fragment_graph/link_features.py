"""Features of a pair of fragments, which do not change when the image is rotated or mirrored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.blocks import FragmentVoxels
from mlreco.post_processing.fragment_graph.contacts import ALONE, Contacts
from mlreco.post_processing.fragment_graph.pairs import Pairs
from mlreco.post_processing.fragment_graph.shapes import Shapes
from mlreco.post_processing.fragment_graph.surroundings import Surroundings

LINK_FEATURES = (
    "log_gap",
    "log_centroid_distance",
    "log_off_larger_axis",
    "log_off_smaller_axis",
    "log_larger_beginning_off_smaller_axis",
    "log_lines_apart",
    "log_from_larger_beginning",
    "log_from_smaller_beginning",
    "log_between_beginnings",
    "log_between_contacts",
    "log_from_larger_contact",
    "log_from_smaller_contact",
    "log_gap_beyond_nearest",
    "log_rank_of_gap",
    "log_rank_of_embedding",
    "log_larger_local_voxels",
    "log_smaller_local_voxels",
    "log_size_ratio",
    "log_larger_local_energy",
    "log_smaller_local_energy",
    "log_embedding_distance",
    "log_embedding_distance_at_gap",
    "log_distance_in_larger_margins",
    "log_distance_in_smaller_margins",
    "axes_cosine",
    "larger_axis_along_gap",
    "smaller_axis_along_gap",
    "larger_points_at_smaller",
    "smaller_points_at_larger",
    "smaller_points_from_larger_beginning",
    "along_larger",
    "along_smaller",
    "larger_offset_along_gap",
    "smaller_offset_along_gap",
    "larger_offset",
    "smaller_offset",
    "local_axes_cosine",
    "larger_local_axis_along_gap",
    "smaller_local_axis_along_gap",
    "scores_agree",
    "scores_agree_at_gap",
    "same_class",
    "same_track",
    "embedding_beyond_nearest",
)
"""Names of the columns; those of which the logarithm is taken come first."""
_ADDED = np.array([*[1.0] * 15, *[0.0] * 3, *[1e-3] * 6], np.float32)
"""What is added to the first columns before their logarithm is taken."""
_ROW = np.dtype([(name, np.float32) for name in LINK_FEATURES])
LEAST_MARGIN = 1e-4
"""Added to margins before something is divided by them."""
MANY = 64
"""Number of partners from which they are sorted; fewer are compared with each other."""
MOST_ALONG = 5.0
"""Bound of ``along_larger`` and ``along_smaller``, in lengths of the fragment."""


def link_features(
    voxels: FragmentVoxels,
    shapes: Shapes,
    pairs: Pairs,
    around: Surroundings,
    contacts: Contacts,
    values: Mapping[str, np.ndarray],
    classes: np.ndarray,
) -> np.ndarray:
    """Return (E, ``len(LINK_FEATURES)``) float32.

    Args:
        voxels: the fragments.
        shapes: of the fragments.
        pairs: those in reach, the pairs of one smaller fragment after another.
        around: surroundings of the voxels in ``pairs.places``.
        contacts: of the fragments with tracks.
        values: as in ``node_features``.
        classes: (F,) class in which each fragment was made.
    """
    rows = np.empty(len(pairs.gaps), _ROW)
    if len(rows):
        near = around.number[pairs.places]
        _write_geometry(rows, voxels.positions, shapes[:5], pairs.fragments, pairs.places, near, around[1:3])
        _write_contacts(rows, voxels.positions, pairs.fragments, pairs.places, contacts.tracks, contacts.centres)
        embeddings, margins, scores = (values[name] for name in ("embeddings", "margins", "scores"))
        means = _means(embeddings, voxels), _means(margins, voxels), _means(scores, voxels)
        at_places = np.ascontiguousarray(embeddings, np.float64), np.ascontiguousarray(scores, np.float64)
        _write_values(rows, pairs.fragments, pairs.places, near, around[3:5], means, at_places)
        larger, smaller = pairs.fragments.T
        rows["log_size_ratio"] = voxels.sizes[larger] / voxels.sizes[smaller]
        rows["same_class"] = classes[larger] == classes[smaller]
        ranks, beyond = _ranks(smaller, pairs.gaps)
        rows["log_rank_of_gap"], rows["log_gap_beyond_nearest"] = ranks, beyond
        ranks, beyond = _ranks(smaller, rows["log_embedding_distance"].astype(np.float64))
        rows["log_rank_of_embedding"], rows["embedding_beyond_nearest"] = ranks, beyond
    table = rows.view(np.float32).reshape(len(rows), len(LINK_FEATURES))
    logarithms = table[:, : len(_ADDED)] + _ADDED
    table[:, : len(_ADDED)] = np.log(logarithms, out=logarithms)
    return table


def _means(values: np.ndarray, voxels: FragmentVoxels) -> np.ndarray:
    """Return the mean of (N, ...) values over the voxels of each fragment, (F, ...) float64."""
    table = np.ascontiguousarray(values.reshape(len(values), -1))
    return _means_of_rows(table, voxels.starts).reshape(len(voxels), *values.shape[1:])


@compiled
def _means_of_rows(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    means = np.zeros((len(starts) - 1, values.shape[1]))
    for fragment in range(len(means)):
        begin, end = starts[fragment], starts[fragment + 1]
        for row in range(begin, end):
            for k in range(values.shape[1]):
                means[fragment, k] += values[row, k]
        means[fragment] /= end - begin
    return means


@compiled
def _ranks(smaller: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each pair how many larger partners of its smaller fragment are nearer, and by how much the nearest is.

    Args:
        smaller: (E,) the smaller fragment; its pairs stand together.
        distances: (E,) float64.
    """
    ranks, beyond = np.zeros(len(smaller)), np.empty(len(smaller))
    first = 0
    while first < len(smaller):
        last = first + 1
        while last < len(smaller) and smaller[last] == smaller[first]:
            last += 1
        if last - first > MANY:
            order = np.sort(distances[first:last])
            for row in range(first, last):
                ranks[row] = np.searchsorted(order, distances[row])
                beyond[row] = distances[row] - order[0]
        else:
            nearest = distances[first:last].min()
            for row in range(first, last):
                beyond[row] = distances[row] - nearest
                for other in range(first, last):
                    ranks[row] += distances[other] < distances[row]
        first = last
    return ranks, beyond


@compiled
def _write_values(
    rows: np.ndarray,
    fragments: np.ndarray,
    places: np.ndarray,
    near: np.ndarray,
    around: tuple[np.ndarray, np.ndarray],
    means: tuple[np.ndarray, np.ndarray, np.ndarray],
    at_places: tuple[np.ndarray, np.ndarray],
) -> None:
    """Write the features from energies, embeddings and class scores, before logarithms are taken."""
    energies, counts = around
    embeddings, margins, scores = means
    for row in range(len(fragments)):
        out = rows[row]
        (a, b), (p, q), (i, j) = fragments[row], places[row], near[row]
        distance, at_gap, agree, agree_at_gap = 0.0, 0.0, 0.0, 0.0
        for k in range(embeddings.shape[1]):
            distance += (embeddings[a, k] - embeddings[b, k]) ** 2
            at_gap += (at_places[0][p, k] - at_places[0][q, k]) ** 2
        for k in range(scores.shape[1]):
            agree += scores[a, k] * scores[b, k]
            agree_at_gap += at_places[1][p, k] * at_places[1][q, k]
        distance = np.sqrt(distance)
        out.log_larger_local_voxels, out.log_smaller_local_voxels = counts[i], counts[j]
        out.log_larger_local_energy, out.log_smaller_local_energy = energies[i], energies[j]
        out.log_embedding_distance, out.log_embedding_distance_at_gap = distance, np.sqrt(at_gap)
        out.log_distance_in_larger_margins = distance / (margins[a] + LEAST_MARGIN)
        out.log_distance_in_smaller_margins = distance / (margins[b] + LEAST_MARGIN)
        out.scores_agree, out.scores_agree_at_gap = agree, agree_at_gap


@compiled
def _write_contacts(
    rows: np.ndarray,
    positions: np.ndarray,
    fragments: np.ndarray,
    places: np.ndarray,
    tracks: np.ndarray,
    centres: np.ndarray,
) -> None:
    """Write the features from where the fragments touch tracks, before logarithms are taken."""
    for row in range(len(fragments)):
        out = rows[row]
        (a, b), (p, q) = fragments[row], places[row]
        one, other = tracks[a] >= 0, tracks[b] >= 0
        out.log_between_contacts = _distance(centres[a], centres[b]) if one and other else ALONE
        out.log_from_larger_contact = _distance(centres[a], positions[p]) if one else ALONE
        out.log_from_smaller_contact = _distance(centres[b], positions[q]) if other else ALONE
        out.same_track = one and tracks[a] == tracks[b]


@compiled
def _write_geometry(
    rows: np.ndarray,
    positions: np.ndarray,
    shapes: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    fragments: np.ndarray,
    places: np.ndarray,
    near: np.ndarray,
    around: tuple[np.ndarray, np.ndarray],
) -> None:
    """Write the features from positions and directions, before logarithms are taken."""
    centroids, axes, _, beginnings, ends = shapes
    offsets, local_axes = around
    gap, between, one_way, other_way = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for row in range(len(fragments)):
        out = rows[row]
        (a, b), (p, q), (i, j) = fragments[row], places[row], near[row]
        for k in range(3):
            gap[k] = positions[q, k] - positions[p, k]
            between[k] = centroids[b, k] - centroids[a, k]
            one_way[k] = centroids[b, k] - beginnings[a, k]
            other_way[k] = centroids[a, k] - beginnings[b, k]
        gap_length = _norm(gap)
        for k in range(3):
            gap[k] /= max(gap_length, 1e-12)
        out.log_gap = gap_length
        out.log_centroid_distance = _norm(between)
        out.log_off_larger_axis = _off_axis(between, axes[a])
        out.log_off_smaller_axis = _off_axis(between, axes[b])
        out.log_larger_beginning_off_smaller_axis = _off_axis(one_way, axes[b])
        out.log_lines_apart = _lines_apart(between, axes[a], axes[b])
        out.log_from_larger_beginning = _norm(one_way)
        out.log_from_smaller_beginning = _norm(other_way)
        out.log_between_beginnings = _distance(beginnings[a], beginnings[b])
        out.axes_cosine = abs(_dot(axes[a], axes[b]))
        out.larger_axis_along_gap = abs(_dot(axes[a], gap))
        out.smaller_axis_along_gap = abs(_dot(axes[b], gap))
        out.larger_points_at_smaller = _dot(axes[a], one_way) / max(_norm(one_way), 1e-12)
        out.smaller_points_at_larger = _dot(axes[b], other_way) / max(_norm(other_way), 1e-12)
        out.smaller_points_from_larger_beginning = _dot(axes[b], one_way) / max(_norm(one_way), 1e-12)
        out.along_larger = _share(_dot(axes[a], one_way), _distance(beginnings[a], ends[a]))
        out.along_smaller = _share(_dot(axes[b], other_way), _distance(beginnings[b], ends[b]))
        out.larger_offset_along_gap = _dot(offsets[i], gap)
        out.smaller_offset_along_gap = -_dot(offsets[j], gap)
        out.larger_offset = _norm(offsets[i])
        out.smaller_offset = _norm(offsets[j])
        out.local_axes_cosine = abs(_dot(local_axes[i], local_axes[j]))
        out.larger_local_axis_along_gap = abs(_dot(local_axes[i], gap))
        out.smaller_local_axis_along_gap = abs(_dot(local_axes[j], gap))


@compiled
def _dot(one: np.ndarray, other: np.ndarray) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


@compiled
def _norm(vector: np.ndarray) -> float:
    return np.sqrt(_dot(vector, vector))


@compiled
def _distance(one: np.ndarray, other: np.ndarray) -> float:
    x, y, z = one[0] - other[0], one[1] - other[1], one[2] - other[2]
    return np.sqrt(x * x + y * y + z * z)


@compiled
def _off_axis(way: np.ndarray, axis: np.ndarray) -> float:
    """Return the distance between the end of a vector and the line along an axis through its beginning."""
    along = _dot(way, axis)
    return np.sqrt(max(_dot(way, way) - along * along, 0.0))


@compiled
def _lines_apart(between: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance of two lines through points ``between`` apart; that of parallel lines as ``_off_axis``."""
    x = one[1] * other[2] - one[2] * other[1]
    y = one[2] * other[0] - one[0] * other[2]
    z = one[0] * other[1] - one[1] * other[0]
    length = np.sqrt(x * x + y * y + z * z)
    if length < 1e-6:
        return _off_axis(between, one)
    return abs(between[0] * x + between[1] * y + between[2] * z) / length


@compiled
def _share(along: float, length: float) -> float:
    return min(max(along / max(length, 1.0), -MOST_ALONG), MOST_ALONG)
