"""Which voxels of a particle are near another one."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.grouping import ParticleVoxels


def find_meetings(
    voxels: ParticleVoxels, pairs: np.ndarray, reach: float, chosen: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of the first particle of each pair that are within reach of a voxel of the second.

    Args:
        voxels: K particles of N voxels.
        pairs: (T, 2) int64 places of particles; a pair counts in this sense only.
        reach: between the middles of voxels, cm.
        chosen: (N,) bool, the voxels that count as those of the first particle; all if None.

    Returns:
        (M,) int64 voxels, pair after pair and in their order there, and (M,) int64 the pair of each.
    """
    chosen = np.ones(len(voxels.positions), np.bool_) if chosen is None else chosen
    return _meetings(voxels.positions, voxels.starts, *voxels.boxes, pairs, chosen, reach)


@compiled
def _meetings(
    positions: np.ndarray,
    starts: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    pairs: np.ndarray,
    chosen: np.ndarray,
    reach: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Go through the voxels of both particles at the same time: they are in the order of x."""
    rows, found = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    for t in range(len(pairs)):
        one, other = pairs[t]
        begin, end = starts[one], starts[one + 1]
        near, last = starts[other], starts[other + 1]
        begin += np.searchsorted(positions[begin:end, 0], lows[other, 0] - reach)
        for i in range(begin, end):
            if positions[i, 0] > highs[other, 0] + reach:
                break
            while positions[near, 0] < positions[i, 0] - reach and near < last - 1:
                near += 1
            if not chosen[i] or _outside(positions, i, lows, highs, other, reach):
                continue
            if _meets(positions, i, near, last, reach):
                rows.append(np.int64(i))
                found.append(np.int64(t))
    return np.array(rows, np.int64), np.array(found, np.int64)


@compiled
def _outside(positions: np.ndarray, i: int, lows: np.ndarray, highs: np.ndarray, other: int, reach: float) -> bool:
    outside = False
    for axis in range(3):
        outside |= positions[i, axis] < lows[other, axis] - reach or positions[i, axis] > highs[other, axis] + reach
    return outside


@compiled
def _meets(positions: np.ndarray, i: int, near: int, last: int, reach: float) -> bool:
    """Whether one of the voxels from ``near`` to ``last``, in the order of x, is within reach of voxel i."""
    for j in range(near, last):
        if positions[j, 0] > positions[i, 0] + reach:
            return False
        square = 0.0
        for axis in range(3):
            square += (positions[j, axis] - positions[i, axis]) ** 2
        if square <= reach * reach:
            return True
    return False
