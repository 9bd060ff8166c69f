"""Direction of a track where it starts, and its uncertainty."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.trajectory import Trajectories

REACH = 4.0
"""Length over which a straight line is fitted, cm: there scattering and the size of voxels matter alike."""

LEAST_ERROR = 0.02
"""What a fit of many voxels is uncertain by all the same, rad: those beside each other share where the line is in them,
and other particles take some. With it 68 % of simulated tracks are within their errors."""


def start_directions(
    positions: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    trajectories: Trajectories,
    backward: np.ndarray,
    near: float,
    reach: float = REACH,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit straight lines to the voxels within ``reach`` of the starts of K particles.

    Args:
        positions: (N, 3) voxels, particle after particle, cm.
        weights: (N,) theirs.
        starts: (K + 1,) where each particle begins.
        trajectories: paths of the particles.
        backward: (K,) bool: the path starts at its second end.
        near: voxels farther from the path are left out, cm.
        reach: path length of the fit, cm.

    Returns:
        (K, 3) unit vectors, NaN where there are not two places; (K,) uncertainty of the fit, the angle within which
        68 % are for the scatter of the voxels about the line, rad; (K,) length fitted, cm.
    """
    return _fit(
        positions,
        weights,
        starts,
        trajectories.along,
        trajectories.aside,
        trajectories.lengths,
        np.asarray(backward, np.bool_),
        near,
        reach,
        LEAST_ERROR,
    )


@compiled
def _fit(
    positions: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    along: np.ndarray,
    aside: np.ndarray,
    lengths: np.ndarray,
    backward: np.ndarray,
    near: float,
    reach: float,
    least_error: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(starts) - 1
    directions, errors, fitted = np.full((count, 3), np.nan), np.full(count, np.nan), np.full(count, np.nan)
    for p in range(count):
        total, mean_s, mean_x, used = 0.0, 0.0, np.zeros(3), 0
        for turn in range(2):
            square_s, product = 0.0, np.zeros(3)
            for i in range(starts[p], starts[p + 1]):
                s = lengths[p] - along[i] if backward[p] else along[i]
                if s > reach or s < -near or aside[i] > near:
                    continue
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
            s = lengths[p] - along[i] if backward[p] else along[i]
            if s > reach or s < -near or aside[i] > near:
                continue
            square, ahead = 0.0, 0.0
            for j in range(3):
                square += (positions[i, j] - mean_x[j]) ** 2
                ahead += (positions[i, j] - mean_x[j]) * unit[j]
            residual += weights[i] * (square - ahead * ahead)
        directions[p] = unit
        fitted[p] = min(reach, lengths[p])
        variance = max(residual / total / 2, 0.003)
        errors[p] = np.hypot(least_error, 1.51 * np.sqrt(variance / (used * square_s / total)))
    return directions, errors, fitted
