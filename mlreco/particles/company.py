"""How much of what a line is fitted to touches other particles: those voxels hold charge of both."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.proximity import Proximity

TOUCH = 2.0
"""Voxels touch whose middles are at most this far apart, greatest edges of a voxel."""


def shares_in_company(voxels: ParticleVoxels, chosen: np.ndarray, proximity: Proximity) -> np.ndarray:
    """Return which part of the chosen voxels of each particle touches voxels of others.

    Args:
        voxels: K particles of N voxels.
        chosen: (N,) bool.
        proximity: which of the particles are near each other.

    Returns:
        (K,) float64 from 0 to 1; 0 where no voxel of a particle is chosen.
    """
    reach = TOUCH * float(voxels.voxel_size.max()) + 1e-6
    touched = np.zeros(len(voxels.positions), np.bool_)
    near = proximity.pairs[proximity.gaps <= reach]
    both_ways = np.concatenate([near, near[:, ::-1]])
    _touch(touched, voxels.positions, voxels.starts, np.flatnonzero(chosen), both_ways, reach)
    counts = np.bincount(voxels.owners, chosen, len(voxels))
    return np.bincount(voxels.owners, touched, len(voxels)) / np.maximum(counts, 1)


@compiled
def _touch(
    touched: np.ndarray,
    positions: np.ndarray,
    starts: np.ndarray,
    chosen: np.ndarray,
    pairs: np.ndarray,
    reach: float,
) -> None:
    """Mark the chosen voxels of the first of each pair that touch voxels of the second."""
    for t in range(len(pairs)):
        own, other = pairs[t]
        first, last = np.searchsorted(chosen, starts[own]), np.searchsorted(chosen, starts[own + 1])
        if first == last:
            continue
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for i in chosen[first:last]:
            for j in range(3):
                low[j], high[j] = min(low[j], positions[i, j] - reach), max(high[j], positions[i, j] + reach)
        for o in range(starts[other], starts[other + 1]):
            x, y, z = positions[o]
            if x < low[0] or y < low[1] or z < low[2] or x > high[0] or y > high[1] or z > high[2]:
                continue
            for i in chosen[first:last]:
                square = (positions[i, 0] - x) ** 2 + (positions[i, 1] - y) ** 2 + (positions[i, 2] - z) ** 2
                if square <= reach * reach:
                    touched[i] = True
