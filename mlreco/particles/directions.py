"""Direction of a track where it starts, and its uncertainty."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.company import shares_in_company
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.proximity import Proximity
from mlreco.particles.trajectory import Trajectories

REACH = 4.0
"""Length over which a straight line is fitted, cm: there scattering and the size of voxels matter alike."""

LEAST_ERROR = 0.003
"""What a fit of many voxels is uncertain by all the same, rad: those beside each other share where the line is in them.
Fitted to simulation, as the next two."""

SHARED_ERROR, ASSIGNED_ERROR = 0.065, 0.15
"""Where others touch it a line is uncertain by this more, rad, times the part of its voxels that are touched: they hold
charge of both. The second where a network has assigned the voxels, for then some are the other's."""


def start_directions(
    voxels: ParticleVoxels,
    trajectories: Trajectories,
    backward: np.ndarray,
    proximity: Proximity,
    assigned: np.ndarray,
    near: float,
    reach: float = REACH,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit straight lines to the voxels within ``reach`` of the starts of K particles.

    Args:
        voxels: the particles.
        trajectories: their paths.
        backward: (K,) bool: the path starts at its second end.
        proximity: which of them are near each other.
        assigned: (K,) bool: a network has told which voxels are theirs.
        near: voxels farther from the path are left out, cm.
        reach: path length of the fit, cm.

    Returns:
        (K, 3) unit vectors, NaN where there are not two places; (K,) uncertainty of the fit, the angle within which
        68 % are for the scatter of the voxels about the line and for those of others, rad; (K,) length fitted, cm.
    """
    owners = voxels.owners
    from_start = np.where(
        np.asarray(backward)[owners], trajectories.lengths[owners] - trajectories.along, trajectories.along
    )
    chosen = (from_start <= reach) & (from_start >= -near) & (trajectories.aside <= near)
    directions, errors = _fit(voxels.positions, voxels.weights, voxels.starts, from_start, chosen)
    by_company = np.where(assigned, ASSIGNED_ERROR, SHARED_ERROR) * shares_in_company(voxels, chosen, proximity)
    fitted = np.where(np.isfinite(errors), np.minimum(reach, trajectories.lengths), np.nan)
    return directions, np.hypot(errors, LEAST_ERROR + by_company), fitted


@compiled
def _fit(
    positions: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    from_start: np.ndarray,
    chosen: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    count = len(starts) - 1
    directions, errors = np.full((count, 3), np.nan), np.full(count, np.nan)
    for p in range(count):
        total, mean_s, mean_x, used = 0.0, 0.0, np.zeros(3), 0
        for turn in range(2):
            square_s, product = 0.0, np.zeros(3)
            for i in range(starts[p], starts[p + 1]):
                if not chosen[i]:
                    continue
                s = from_start[i]
                if turn == 0:
                    total += weights[i]
                    used += 1
                    mean_s += weights[i] * s
                    for j in range(3):
                        mean_x[j] += weights[i] * positions[i, j]
                else:
                    square_s += weights[i] * (s - mean_s) ** 2
                    for j in range(3):
                        product[j] += weights[i] * (s - mean_s) * (positions[i, j] - mean_x[j])
            if turn == 0 and used:
                mean_s /= total
                mean_x /= total
        size = np.sqrt((product**2).sum())
        if used < 2 or size == 0:
            continue
        unit = product / size
        residual = 0.0
        for i in range(starts[p], starts[p + 1]):
            if not chosen[i]:
                continue
            square, ahead = 0.0, 0.0
            for j in range(3):
                square += (positions[i, j] - mean_x[j]) ** 2
                ahead += (positions[i, j] - mean_x[j]) * unit[j]
            residual += weights[i] * (square - ahead * ahead)
        directions[p] = unit
        variance = max(residual / total / 2, 0.003)
        errors[p] = 1.51 * np.sqrt(variance / (used * square_s / total))
    return directions, errors
