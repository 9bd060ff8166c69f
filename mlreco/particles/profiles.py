"""dE/dx along the path of a particle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.trajectory import Trajectories

STEP = 0.5
"""Length of a step along the path, cm."""

NEAR = 1.5
"""Voxels farther from the path than this are no part of the profile, cm: debris of a track, the wings of a shower."""


@dataclass(frozen=True)
class Profiles:
    """Steps along the paths of K particles, from the first end to the second; B steps in all.

    Attributes:
        starts: (K + 1,) int64; particle k has the steps ``starts[k]`` to ``starts[k + 1]``; none where its length is 0.
        distance: (B,) float64 path length from the first end to the middle of the step, cm.
        width: (B,) float64 length of the step, cm; the last one of a particle is between 0.5 and 1.5 times the others.
        dedx: (B,) float64 energy of the voxels near the path per length of the step, MeV/cm; NaN without energies.
    """

    starts: np.ndarray
    distance: np.ndarray
    width: np.ndarray
    dedx: np.ndarray

    def of(self, particle: int) -> slice:
        """Return the steps of a particle."""
        return slice(int(self.starts[particle]), int(self.starts[particle + 1]))


def dedx_profiles(
    voxels: ParticleVoxels, trajectories: Trajectories, step: float = STEP, near: float = NEAR
) -> Profiles:
    """Return the energy along the paths of particles.

    The energy of a voxel is spread evenly over the length that the path needs to cross it.

    Args:
        voxels: the particles.
        trajectories: their paths.
        step: length of a step, cm.
        near: voxels farther from the path are left out, cm.
    """
    counts = np.where(trajectories.lengths > 0, np.maximum(1, np.rint(trajectories.lengths / step)), 0).astype(np.int64)
    starts = np.append(0, np.cumsum(counts))
    crossed = np.abs(trajectories.tangents) @ voxels.voxel_size
    energy, distance, width = _profiles(
        voxels.energies,
        voxels.starts,
        trajectories.along,
        trajectories.aside,
        crossed,
        trajectories.lengths,
        starts,
        step,
        near,
    )
    return Profiles(starts, distance, width, energy / width)


@compiled
def _profiles(
    energies: np.ndarray,
    voxel_starts: np.ndarray,
    along: np.ndarray,
    aside: np.ndarray,
    crossed: np.ndarray,
    lengths: np.ndarray,
    starts: np.ndarray,
    step: float,
    near: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    energy, distance, width = np.zeros(starts[-1]), np.empty(starts[-1]), np.empty(starts[-1])
    for p in range(len(starts) - 1):
        first, bins = starts[p], starts[p + 1] - starts[p]
        if bins == 0:
            continue
        for b in range(bins):
            right = lengths[p] if b == bins - 1 else (b + 1) * step
            width[first + b] = right - b * step
            distance[first + b] = (right + b * step) / 2
        for i in range(voxel_starts[p], voxel_starts[p + 1]):
            if aside[i] > near or along[i] < -near or along[i] > lengths[p] + near:
                continue
            left, right = along[i] - crossed[i] / 2, along[i] + crossed[i] / 2
            low = min(max(int(np.floor(left / step)), 0), bins - 1)
            high = min(max(int(np.floor(right / step)), 0), bins - 1)
            for b in range(low, high + 1):
                begin = left if b == low else b * step
                end = right if b == high else (b + 1) * step
                energy[first + b] += energies[i] * (end - begin) / crossed[i]
    return energy, distance, width
