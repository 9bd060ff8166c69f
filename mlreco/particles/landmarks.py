"""Landmarks: a few points that stand for the voxels of a particle, some millimetres apart, on its brightest line.

The voxel of the greatest weight is a landmark and hides those within the radius; the greatest of the rest is the next,
and so on. A voxel belongs to its nearest landmark, and a landmark lies at the weighted mean of its voxels. Only
distances and weights count, so the landmarks turn, mirror and move with the event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.grouping import ParticleVoxels


@dataclass(frozen=True)
class Landmarks:
    """M landmarks, particle after particle.

    Attributes:
        starts: (K + 1,) int64; particle k has the landmarks ``starts[k]`` to ``starts[k + 1]``.
        owners: (N,) int64 landmark of each voxel.
        voxels: (M,) int64 the voxel that each grew from.
        positions: (M, 3) float64, cm.
        weights: (M,) float64 summed weight of the voxels.
    """

    starts: np.ndarray
    owners: np.ndarray
    voxels: np.ndarray
    positions: np.ndarray
    weights: np.ndarray


def find_landmarks(voxels: ParticleVoxels, axes: np.ndarray, radius: float) -> Landmarks:
    """Return the landmarks of all particles.

    Args:
        voxels: the particles.
        axes: (K, 3) direction along which to sort the voxels of each, for speed; the longest axis is best.
        radius: no two landmarks grew from voxels nearer than this, cm.
    """
    owners, seeds, starts = _choose(voxels.positions, voxels.weights, voxels.starts, axes, radius)
    weights = np.bincount(owners, voxels.weights, len(seeds))
    sums = [np.bincount(owners, voxels.weights * column, len(seeds)) for column in voxels.positions.T]
    positions = np.stack(sums, axis=1) / weights[:, None] if len(seeds) else np.empty((0, 3))
    return Landmarks(starts, owners, seeds, positions, weights)


@compiled
def _choose(
    positions: np.ndarray, weights: np.ndarray, starts: np.ndarray, axes: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the landmark of each voxel, the voxel of each landmark, and where each particle's landmarks begin."""
    n, k = len(positions), len(starts) - 1
    owners = np.full(n, -1, np.int64)
    nearest = np.full(n, np.inf)
    seeds = np.empty(n, np.int64)
    seed_starts = np.zeros(k + 1, np.int64)
    found = 0
    for p in range(k):
        first, end = starts[p], starts[p + 1]
        along = np.empty(end - first)
        for i in range(first, end):
            along[i - first] = (
                positions[i, 0] * axes[p, 0] + positions[i, 1] * axes[p, 1] + positions[i, 2] * axes[p, 2]
            )
        order = np.argsort(along)
        place = np.empty(end - first, np.int64)
        place[order] = np.arange(end - first)
        for i in first + np.argsort(-weights[first:end], kind="mergesort"):
            if owners[i] >= 0:
                continue
            for step in (1, -1):
                j = place[i - first] + (0 if step == 1 else -1)
                while 0 <= j < end - first and abs(along[order[j]] - along[i - first]) <= radius:
                    other = first + order[j]
                    square = 0.0
                    for axis in range(3):
                        square += (positions[other, axis] - positions[i, axis]) ** 2
                    if square <= radius * radius and square < nearest[other]:
                        nearest[other] = square
                        owners[other] = found
                    j += step
            seeds[found] = i
            found += 1
        seed_starts[p + 1] = found
    return owners, seeds[:found], seed_starts
