"""Closest approach of the particles of an event: which are near each other, where, and which is the nearest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.landmarks import Landmarks


@dataclass(frozen=True)
class Proximity:
    """Distances between centres of voxels of different particles; K particles, T pairs.

    Attributes:
        nearest: (K,) int64 place of the particle nearest to each; -1 where there is only one.
        distance: (K,) float64 distance to it, cm; NaN where there is only one.
        pairs: (T, 2) int64 places of the particles that come near each other, the smaller first.
        gaps: (T,) float64 distance of each pair, cm.
        voxels: (T, 2) int64 the voxels between which it is measured.
    """

    nearest: np.ndarray
    distance: np.ndarray
    pairs: np.ndarray
    gaps: np.ndarray
    voxels: np.ndarray


def find_neighbours(voxels: ParticleVoxels, landmarks: Landmarks, reach: float) -> Proximity:
    """Return the closest approaches of particles.

    Args:
        voxels: K particles.
        landmarks: theirs; they spare most of the distances between voxels.
        reach: pairs up to this distance are listed, cm.
    """
    from scipy.spatial import cKDTree  # takes longer to import than most commands need

    count = len(voxels)
    order = np.argsort(landmarks.owners, kind="stable")
    starts = np.searchsorted(landmarks.owners[order], np.arange(len(landmarks.positions) + 1))
    particles = np.repeat(np.arange(count), np.diff(landmarks.starts))
    offsets = voxels.positions - landmarks.positions[landmarks.owners]
    radii = np.zeros(len(particles))
    np.maximum.at(radii, landmarks.owners, np.sqrt((offsets**2).sum(axis=1)))
    candidates = np.empty((0, 2), np.int64)
    if len(particles):
        from scipy.spatial import cKDTree

        tree = cKDTree(landmarks.positions)
        candidates = tree.query_pairs(reach + 2 * radii.max(), output_type="ndarray").astype(np.int64)
    candidates = candidates[particles[candidates[:, 0]] != particles[candidates[:, 1]]]
    owners = np.sort(particles[candidates], axis=1)
    between = landmarks.positions[candidates[:, 0]] - landmarks.positions[candidates[:, 1]]
    far = np.sqrt((between**2).sum(axis=1)) - radii[candidates].sum(axis=1)
    by_pair = np.lexsort((far, owners[:, 1], owners[:, 0]))
    best, found = _closest(voxels.positions, order, starts, candidates[by_pair], far[by_pair], owners[by_pair])
    keys = owners[by_pair]
    first = np.flatnonzero((np.diff(keys, axis=0, prepend=-1) != 0).any(axis=1)) if len(keys) else np.empty(0, np.int64)
    pairs, gaps, meeting = keys[first], best[first], found[first]
    swapped = np.searchsorted(voxels.starts, meeting[:, 0], "right") - 1 != pairs[:, 0]
    meeting = np.where(swapped[:, None], meeting[:, ::-1], meeting)
    near = gaps <= reach
    pairs, gaps, meeting = pairs[near], gaps[near], meeting[near]
    nearest, distance = np.full(count, -1, np.int64), np.full(count, np.inf)
    _take_least(nearest, distance, pairs, gaps)
    _search_all(
        nearest, distance, voxels.positions, order, starts, landmarks.positions, radii, particles, landmarks.starts
    )
    return Proximity(nearest, np.where(nearest >= 0, distance, np.nan), pairs, gaps, meeting)


@compiled
def _between(
    positions: np.ndarray, order: np.ndarray, starts: np.ndarray, a: int, b: int, limit: float
) -> tuple[float, int, int]:
    """Return the least squared distance below a limit between the voxels of two landmarks, and the voxels; else -1."""
    first, second = -1, -1
    for i in order[starts[a] : starts[a + 1]]:
        for j in order[starts[b] : starts[b + 1]]:
            square = 0.0
            for axis in range(3):
                square += (positions[i, axis] - positions[j, axis]) ** 2
            if square < limit:
                limit, first, second = square, i, j
    return limit, first, second


@compiled
def _closest(
    positions: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    candidates: np.ndarray,
    far: np.ndarray,
    owners: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return, on the first row of each pair of particles, its distance and voxels; rows are sorted by pair."""
    best, found = np.full(len(candidates), np.inf), np.full((len(candidates), 2), -1, np.int64)
    head = 0
    for row in range(len(candidates)):
        if owners[row, 0] != owners[head, 0] or owners[row, 1] != owners[head, 1]:
            head = row
        if far[row] < best[head]:
            limit = best[head] ** 2
            square, i, j = _between(positions, order, starts, candidates[row, 0], candidates[row, 1], limit)
            if i >= 0:
                best[head], found[head, 0], found[head, 1] = np.sqrt(square), i, j
    return best, found


@compiled
def _take_least(nearest: np.ndarray, distance: np.ndarray, pairs: np.ndarray, gaps: np.ndarray) -> None:
    for row in range(len(pairs)):
        for side in range(2):
            if gaps[row] < distance[pairs[row, side]]:
                distance[pairs[row, side]], nearest[pairs[row, side]] = gaps[row], pairs[row, 1 - side]


@compiled
def _search_all(
    nearest: np.ndarray,
    distance: np.ndarray,
    positions: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    points: np.ndarray,
    radii: np.ndarray,
    particles: np.ndarray,
    point_starts: np.ndarray,
) -> None:
    """Find the nearest of the particles that have none yet among all landmarks."""
    missing = nearest < 0
    for p in range(len(nearest)):
        if not missing[p]:
            continue
        for a in range(point_starts[p], point_starts[p + 1]):
            for b in range(len(points)):
                if particles[b] == p:
                    continue
                square = 0.0
                for axis in range(3):
                    square += (points[a, axis] - points[b, axis]) ** 2
                if np.sqrt(square) - radii[a] - radii[b] >= distance[p]:
                    continue
                square, i, _ = _between(positions, order, starts, a, b, distance[p] ** 2)
                if i >= 0:
                    distance[p], nearest[p] = np.sqrt(square), particles[b]
