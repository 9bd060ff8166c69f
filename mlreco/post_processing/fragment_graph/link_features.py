"""What is told of two fragments in reach: numbers that turning or mirroring the image does not change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.blocks import FragmentVoxels
from mlreco.post_processing.fragment_graph.node_features import LEAST_ENERGY
from mlreco.post_processing.fragment_graph.pairs import Pairs
from mlreco.post_processing.fragment_graph.shapes import Shapes
from mlreco.post_processing.fragment_graph.surroundings import Surroundings

GEOMETRY = (
    "log_gap",
    "log_centroid_distance",
    "axes_cosine",
    "larger_axis_along_gap",
    "smaller_axis_along_gap",
    "larger_points_at_smaller",
    "smaller_points_at_larger",
    "log_off_larger_axis",
    "log_off_smaller_axis",
    "log_lines_apart",
    "log_from_larger_beginning",
    "log_from_smaller_beginning",
    "log_between_beginnings",
    "along_larger",
    "along_smaller",
    "larger_offset_along_gap",
    "smaller_offset_along_gap",
    "larger_offset",
    "smaller_offset",
    "local_axes_cosine",
    "larger_local_axis_along_gap",
    "smaller_local_axis_along_gap",
)
OTHERS = (
    "log_larger_local_energy",
    "log_smaller_local_energy",
    "log_larger_local_voxels",
    "log_smaller_local_voxels",
    "log_embedding_distance",
    "log_embedding_distance_at_gap",
    "log_distance_in_larger_margins",
    "log_distance_in_smaller_margins",
    "scores_agree",
    "scores_agree_at_gap",
    "same_class",
    "log_size_ratio",
    "log_rank_of_gap",
    "log_rank_of_embedding",
    "log_gap_beyond_nearest",
    "embedding_beyond_nearest",
)
LINK_FEATURES = (*GEOMETRY, *OTHERS)
LEAST_DISTANCE = 1e-3
"""Added to distances in the embedding before a logarithm is taken."""
MOST_ALONG = 5.0
"""Bound of ``along_larger`` and ``along_smaller``, in lengths of the fragment."""


def link_features(
    voxels: FragmentVoxels,
    shapes: Shapes,
    pairs: Pairs,
    around: Surroundings,
    values: Mapping[str, np.ndarray],
    classes: np.ndarray,
) -> np.ndarray:
    """Return (E, ``len(LINK_FEATURES)``) float32.

    Args:
        voxels: the fragments.
        shapes: of the fragments.
        pairs: those in reach.
        around: surroundings of the voxels in ``pairs.places``.
        values: as in ``node_features``.
        classes: (F,) class in which each fragment was made.
    """
    if not len(pairs.gaps):
        return np.zeros((0, len(LINK_FEATURES)), np.float32)
    larger, smaller = pairs.fragments.T
    starts, sizes = voxels.starts[:-1], voxels.sizes
    near = around.number[pairs.places]
    geometry = _geometry(voxels.positions, shapes[:5], pairs.fragments, pairs.places, near, around.offsets, around.axes)
    embeddings = np.add.reduceat(values["embeddings"], starts, axis=0, dtype=np.float64) / sizes[:, None]
    scores = np.add.reduceat(values["scores"], starts, axis=0, dtype=np.float64) / sizes[:, None]
    margins = np.add.reduceat(values["margins"], starts, dtype=np.float64) / sizes
    distance = np.linalg.norm(embeddings[larger] - embeddings[smaller], axis=1)
    at_gap = np.linalg.norm(np.diff(values["embeddings"][pairs.places], axis=1)[:, 0], axis=1)
    local_energy = np.log(around.energies[near] + LEAST_ENERGY)
    local_voxels = np.log(around.counts[near])
    gap_rank, gap_excess = _among_partners(smaller, pairs.gaps)
    embedding_rank, embedding_excess = _among_partners(smaller, distance)
    others = {
        "log_larger_local_energy": local_energy[:, 0],
        "log_smaller_local_energy": local_energy[:, 1],
        "log_larger_local_voxels": local_voxels[:, 0],
        "log_smaller_local_voxels": local_voxels[:, 1],
        "log_embedding_distance": np.log(distance + LEAST_DISTANCE),
        "log_embedding_distance_at_gap": np.log(at_gap + LEAST_DISTANCE),
        "log_distance_in_larger_margins": np.log(distance / (margins[larger] + 1e-4) + LEAST_DISTANCE),
        "log_distance_in_smaller_margins": np.log(distance / (margins[smaller] + 1e-4) + LEAST_DISTANCE),
        "scores_agree": (scores[larger] * scores[smaller]).sum(axis=1),
        "scores_agree_at_gap": values["scores"][pairs.places].prod(axis=1).sum(axis=1),
        "same_class": classes[larger] == classes[smaller],
        "log_size_ratio": np.log(sizes[larger] / sizes[smaller]),
        "log_rank_of_gap": np.log1p(gap_rank),
        "log_rank_of_embedding": np.log1p(embedding_rank),
        "log_gap_beyond_nearest": np.log1p(gap_excess),
        "embedding_beyond_nearest": embedding_excess,
    }
    return np.hstack([geometry, np.stack([others[name] for name in OTHERS], axis=1)]).astype(np.float32)


def _among_partners(smaller: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each pair how many larger partners of its smaller fragment are nearer, and how much the nearest is."""
    order = np.lexsort((distances, smaller))
    first = np.flatnonzero(np.diff(smaller[order], prepend=-1))
    group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(order))))
    ordered = distances[order]
    fresh = np.flatnonzero(np.diff(ordered, prepend=-1) != 0)
    fresh = np.union1d(fresh, first)
    nearer = fresh[np.searchsorted(fresh, np.arange(len(order)), side="right") - 1] - first[group]
    ranks, excess = np.empty(len(order), np.int64), np.empty(len(order))
    ranks[order], excess[order] = nearer, ordered - ordered[first][group]
    return ranks, excess


@compiled
def _geometry(
    positions: np.ndarray,
    shapes: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    fragments: np.ndarray,
    places: np.ndarray,
    near: np.ndarray,
    offsets: np.ndarray,
    local_axes: np.ndarray,
) -> np.ndarray:
    """Return the (E, 22) columns ``GEOMETRY``."""
    centroids, axes, _, beginnings, ends = shapes
    table = np.empty((len(fragments), 22))
    gap, between, one_way, other_way = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for row in range(len(fragments)):
        a, b = fragments[row]
        p, q = places[row]
        i, j = near[row]
        for k in range(3):
            gap[k] = positions[q, k] - positions[p, k]
            between[k] = centroids[b, k] - centroids[a, k]
            one_way[k] = centroids[b, k] - beginnings[a, k]
            other_way[k] = centroids[a, k] - beginnings[b, k]
        gap_length = _norm(gap)
        for k in range(3):
            gap[k] /= max(gap_length, 1e-12)
        out = table[row]
        out[0] = np.log1p(gap_length)
        out[1] = np.log1p(_norm(between))
        out[2] = abs(_dot(axes[a], axes[b]))
        out[3] = abs(_dot(axes[a], gap))
        out[4] = abs(_dot(axes[b], gap))
        out[5] = _dot(axes[a], one_way) / max(_norm(one_way), 1e-12)
        out[6] = _dot(axes[b], other_way) / max(_norm(other_way), 1e-12)
        out[7] = np.log1p(_off_axis(between, axes[a]))
        out[8] = np.log1p(_off_axis(between, axes[b]))
        out[9] = np.log1p(_lines_apart(between, axes[a], axes[b]))
        out[10] = np.log1p(_norm(one_way))
        out[11] = np.log1p(_norm(other_way))
        out[12] = np.log1p(_distance(beginnings[a], beginnings[b]))
        out[13] = _share(_dot(axes[a], one_way), _distance(beginnings[a], ends[a]))
        out[14] = _share(_dot(axes[b], other_way), _distance(beginnings[b], ends[b]))
        out[15] = _dot(offsets[i], gap)
        out[16] = -_dot(offsets[j], gap)
        out[17] = _norm(offsets[i])
        out[18] = _norm(offsets[j])
        out[19] = abs(_dot(local_axes[i], local_axes[j]))
        out[20] = abs(_dot(local_axes[i], gap))
        out[21] = abs(_dot(local_axes[j], gap))
    return table


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
    """Return how far the end of a way is from the line along an axis through its beginning."""
    along = _dot(way, axis)
    return np.sqrt(max(_dot(way, way) - along * along, 0.0))


@compiled
def _lines_apart(between: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance of two lines whose points are ``between`` apart; parallel ones as ``_off_axis``."""
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
