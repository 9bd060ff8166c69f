"""How much of what a line is fitted to touches other particles: those voxels hold charge of both."""

from __future__ import annotations

import numpy as np

from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.meetings import find_meetings
from mlreco.particles.proximity import Proximity

TOUCH = 2.0
"""Voxels touch whose middles are at most this far apart, greatest edges of a voxel."""


def touched_voxels(voxels: ParticleVoxels, chosen: np.ndarray, proximity: Proximity) -> np.ndarray:
    """Return which of the chosen voxels touch voxels of other particles, (N,) bool.

    Args:
        voxels: K particles of N voxels.
        chosen: (N,) bool.
        proximity: which of the particles are near each other.
    """
    reach = TOUCH * float(voxels.voxel_size.max()) + 1e-6
    touched = np.zeros(len(voxels.positions), np.bool_)
    near = proximity.pairs[proximity.gaps <= reach]
    both_ways = np.concatenate([near, near[:, ::-1]])
    touched[find_meetings(voxels, both_ways, reach, chosen)[0]] = True
    return touched


def shares_in_company(voxels: ParticleVoxels, chosen: np.ndarray, touched: np.ndarray) -> np.ndarray:
    """Return which part of the chosen voxels of each particle touches voxels of others.

    Args:
        voxels: K particles of N voxels.
        chosen: (N,) bool.
        touched: (N,) bool: of the chosen ones.

    Returns:
        (K,) float64 from 0 to 1; 0 where no voxel of a particle is chosen.
    """
    counts = np.bincount(voxels.owners, chosen, len(voxels))
    return np.bincount(voxels.owners, touched, len(voxels)) / np.maximum(counts, 1)
