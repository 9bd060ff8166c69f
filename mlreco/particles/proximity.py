"""Closest approach of the particles of each event: which are near each other, where, and which is the nearest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.landmarks import Landmarks

_ROUNDING = 1e-9
"""Bounds of distances are lowered by this, cm, before something is left out for them."""


@dataclass(frozen=True)
class Proximity:
    """Distances between centres of voxels of different particles of an event; K particles, T pairs.

    Attributes:
        nearest: (K,) int64 place of the particle nearest to each; -1 for the only one of an event.
        distance: (K,) float64 distance to it, cm; NaN for the only one of an event.
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
    """Return the closest approaches of particles to others of their events.

    Args:
        voxels: K particles.
        landmarks: theirs; they and boxes around particles spare most of the distances between voxels.
        reach: pairs up to this distance are listed, cm.
    """
    order, starts, radii = _around_landmarks(voxels.positions, landmarks.owners, landmarks.positions)
    around = order, starts, landmarks.positions, radii, landmarks.starts
    lows, highs = voxels.boxes
    companions = voxels.companions
    pairs, gaps, meeting = _near_pairs(voxels.positions, around, lows, highs, companions, reach)
    nearest, distance = np.full(len(voxels), -1, np.int64), np.full(len(voxels), np.inf)
    _take_least(nearest, distance, pairs, gaps)
    _search_all(nearest, distance, voxels.positions, around, lows, highs, companions)
    return Proximity(nearest, np.where(nearest >= 0, distance, np.nan), pairs, gaps, meeting)


@compiled
def _around_landmarks(
    positions: np.ndarray, owners: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the voxels of landmark m, ``order[starts[m]:starts[m + 1]]``, and how far the farthest is from it."""
    starts, radii = np.zeros(len(points) + 1, np.int64), np.zeros(len(points))
    for owner in owners:
        starts[owner + 1] += 1
    for m in range(len(points)):
        starts[m + 1] += starts[m]
    place, order = starts.copy(), np.empty(len(owners), np.int64)
    for i in range(len(owners)):
        order[place[owners[i]]] = i
        place[owners[i]] += 1
        radii[owners[i]] = max(radii[owners[i]], _squared(positions, i, points, owners[i]))
    return order, starts, np.sqrt(radii)


@compiled
def _squared(one: np.ndarray, i: int, other: np.ndarray, j: int) -> float:
    x, y, z = one[i, 0] - other[j, 0], one[i, 1] - other[j, 1], one[i, 2] - other[j, 2]
    return x * x + y * y + z * z


@compiled
def _to_box(low: np.ndarray, high: np.ndarray, lows: np.ndarray, highs: np.ndarray, p: int) -> float:
    """Return the distance of a box, or of a point as ``low`` and ``high``, from the box of particle p."""
    square = 0.0
    for axis in range(3):
        gap = max(lows[p, axis] - high[axis], low[axis] - highs[p, axis])
        if gap > 0:
            square += gap * gap
    return np.sqrt(square)


@compiled
def _between(
    positions: np.ndarray, order: np.ndarray, starts: np.ndarray, a: int, b: int, limit: float
) -> tuple[float, int, int]:
    """Return the least squared distance below a limit between the voxels of two landmarks, and the voxels; else -1."""
    first, second = -1, -1
    for i in order[starts[a] : starts[a + 1]]:
        for j in order[starts[b] : starts[b + 1]]:
            square = _squared(positions, i, positions, j)
            if square < limit:
                limit, first, second = square, i, j
    return limit, first, second


@compiled
def _near_pairs(
    positions: np.ndarray, around: tuple, lows: np.ndarray, highs: np.ndarray, companions: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of particles within reach, their distances, and the voxels between which these are."""
    count, room, found = len(lows), 64, 0
    pairs, gaps, meeting = np.empty((room, 2), np.int64), np.empty(room), np.empty((room, 2), np.int64)
    for p in range(count):
        for q in range(p + 1, companions[p, 1]):
            if _to_box(lows[p], highs[p], lows, highs, q) > reach + _ROUNDING:
                continue
            gap, i, j = _closest(positions, around, lows, highs, p, q, reach)
            if i < 0:
                continue
            if found == room:
                room *= 2
                pairs, gaps, meeting = _longer(pairs, room), _longer(gaps, room), _longer(meeting, room)
            pairs[found, 0], pairs[found, 1], gaps[found] = p, q, gap
            meeting[found, 0], meeting[found, 1] = i, j
            found += 1
    return pairs[:found], gaps[:found], meeting[:found]


@compiled
def _longer(values: np.ndarray, room: int) -> np.ndarray:
    longer = np.empty((room, *values.shape[1:]), values.dtype)
    longer[: len(values)] = values
    return longer


@compiled
def _closest(
    positions: np.ndarray, around: tuple, lows: np.ndarray, highs: np.ndarray, p: int, q: int, reach: float
) -> tuple[float, int, int]:
    """Return the least distance up to ``reach`` of two particles, and the voxels between which it is; else -1.

    Landmarks are compared in the order of the least distance that their voxels may have. Of equally near voxels those
    of the first landmarks count.
    """
    order, starts, points, radii, point_starts = around
    limit, least, one, other = reach + _ROUNDING, np.inf, -1, -1
    for a in range(point_starts[p], point_starts[p + 1]):
        if _to_box(points[a], points[a], lows, highs, q) - radii[a] > limit:
            continue
        for b in range(point_starts[q], point_starts[q + 1]):
            far = np.sqrt(_squared(points, a, points, b)) - (radii[a] + radii[b])
            if far < least:
                least, one, other = far, a, b
    if least > limit:
        return np.inf, -1, -1
    square, i, j = _between(positions, order, starts, one, other, np.inf)
    limit = min(limit, np.sqrt(square) + _ROUNDING)
    far_of, landmarks, found = np.empty(64), np.empty((64, 2), np.int64), 0
    for a in range(point_starts[p], point_starts[p + 1]):
        if _to_box(points[a], points[a], lows, highs, q) - radii[a] > limit:
            continue
        for b in range(point_starts[q], point_starts[q + 1]):
            far = np.sqrt(_squared(points, a, points, b)) - (radii[a] + radii[b])
            if far > limit:
                continue
            if found == len(far_of):
                far_of, landmarks = _longer(far_of, 2 * found), _longer(landmarks, 2 * found)
            far_of[found], landmarks[found, 0], landmarks[found, 1] = far, a, b
            found += 1
    best, i, j = np.inf, -1, -1
    for row in np.argsort(far_of[:found], kind="mergesort"):
        if far_of[row] >= best:
            break
        square, first, second = _between(positions, order, starts, landmarks[row, 0], landmarks[row, 1], best * best)
        if first >= 0:
            best, i, j = np.sqrt(square), first, second
    return (best, i, j) if best <= reach else (np.inf, -1, -1)


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
    around: tuple,
    lows: np.ndarray,
    highs: np.ndarray,
    companions: np.ndarray,
) -> None:
    """Find the nearest of the particles that have none yet among all others of their event."""
    order, starts, points, radii, point_starts = around
    missing = nearest < 0
    for p in range(len(nearest)):
        if not missing[p]:
            continue
        for a in range(point_starts[p], point_starts[p + 1]):
            for q in range(companions[p, 0], companions[p, 1]):
                if q == p or _to_box(points[a], points[a], lows, highs, q) - radii[a] - _ROUNDING >= distance[p]:
                    continue
                for b in range(point_starts[q], point_starts[q + 1]):
                    if np.sqrt(_squared(points, a, points, b)) - radii[a] - radii[b] >= distance[p]:
                        continue
                    square, i, _ = _between(positions, order, starts, a, b, distance[p] ** 2)
                    if i >= 0:
                        distance[p], nearest[p] = np.sqrt(square), q
