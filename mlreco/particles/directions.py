"""Direction of a track where it starts, and how uncertain its voxels leave it.

A straight line is fitted to the voxels of the first centimetres, weighted with their charge. It is off by:

* *Steps.* Voxels draw a line as a staircase. Along an axis in which it advances by n voxels of edge a within its length
  l, the sawtooth between line and staircase makes its slope uncertain by a / l / sqrt(10) / n. Up to `ONE_STEP` it may
  as well have no step there: its slope is then that of any line which stays in its voxels, which is in a triangle of
  width 2 a / l, uncertain by a / l / sqrt(6).
* *Noise.* Charge fluctuates, as if a part of the voxels scattered about the line.
* *Company.* Voxels that touch other particles hold charge of both: it shifts them by as far as charge is spread.
* *Multiple scattering.* The line tells how much of a turn of the path at each place is in it, and
  :mod:`mlreco.particles.scattering` how much a particle turns there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.company import shares_in_company
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.proximity import Proximity
from mlreco.particles.scattering import PLACES
from mlreco.particles.trajectory import Trajectories

REACH = 4.0
"""Length over which a straight line is fitted, cm: there scattering and the size of voxels matter alike."""

ONE_STEP = 1.5
"""Greatest number of voxels by which a line fitted to a staircase of one step advances."""

NOISE = 0.34
"""Uncertainty from noise over that of independent voxels with the spread of those fitted. Fitted to simulation, as the
next two."""

SHARED, ASSIGNED = 0.3, 0.58
"""Uncertainty from company over the part of the voxels that is touched times the spread of the voxels over that along
the line. The second where a network has assigned the voxels, for then some are the other's."""

WITHIN = float(np.sqrt(-2 * np.log(0.32)))
"""Angle within which 68 % are, over the standard deviation in each of two planes."""


@dataclass(frozen=True)
class StartLines:
    """Straight lines fitted to the starts of K particles; NaN where their voxels do not lie in two places.

    Uncertainties are standard deviations in each of two planes, rad.

    Attributes:
        directions: (K, 3) float64 unit vectors, in which the particles move.
        lengths: (K,) float64 path length of the fit, cm.
        steps: (K,) float64 uncertainty from the size of the voxels.
        noise: (K,) float64 that from the scatter of the charge.
        company: (K,) float64 that from other particles; 0 where none touches.
        turned: (K, P) float64 how much of a turn of the path at `scattering.PLACES` of it is in the line: 1 before the
            first voxel, 0 behind the last.
    """

    directions: np.ndarray
    lengths: np.ndarray
    steps: np.ndarray
    noise: np.ndarray
    company: np.ndarray
    turned: np.ndarray

    def errors(self, scattering: np.ndarray) -> np.ndarray:
        """Return the angle within which 68 % are, (K,) rad.

        Args:
            scattering: (K,) uncertainty from multiple scattering.
        """
        variance = self.steps**2 + self.noise**2 + self.company**2 + scattering**2
        return np.minimum(WITHIN * np.sqrt(variance), np.pi / 2)


def start_lines(
    voxels: ParticleVoxels,
    trajectories: Trajectories,
    backward: np.ndarray,
    proximity: Proximity,
    assigned: np.ndarray,
    near: float,
    reach: float = REACH,
) -> StartLines:
    """Fit straight lines to the voxels within ``reach`` of the starts of K particles.

    Args:
        voxels: the particles.
        trajectories: their paths.
        backward: (K,) bool: the path starts at its second end.
        proximity: which of them are near each other.
        assigned: (K,) bool: a network has told which voxels are theirs.
        near: voxels farther from the path are left out, cm.
        reach: path length of the fit, cm.
    """
    owners = voxels.owners
    from_start = np.where(
        np.asarray(backward)[owners], trajectories.lengths[owners] - trajectories.along, trajectories.along
    )
    chosen = (from_start <= reach) & (from_start >= -near) & (trajectories.aside <= near)
    lengths = np.minimum(reach, trajectories.lengths)
    directions, aside, along, counts, turned = _fit(
        voxels.positions, voxels.weights, voxels.starts, from_start, chosen, lengths[:, None] * PLACES
    )
    spread = np.sqrt(np.maximum(aside, (voxels.voxel_size**2).mean() / 12) / along)
    shares = shares_in_company(voxels, chosen, proximity)
    return StartLines(
        directions,
        np.where(np.isfinite(along), lengths, np.nan),
        staircase_error(directions, np.sqrt(12 * along), voxels.voxel_size),
        NOISE * spread / np.sqrt(counts),
        np.where(assigned, ASSIGNED, SHARED) * shares * spread,
        turned,
    )


def staircase_error(directions: np.ndarray, lengths: np.ndarray, voxel_size: np.ndarray) -> np.ndarray:
    """Return how uncertain the steps of voxels leave lines, (K,) rad: standard deviation in each of two planes.

    Args:
        directions: (K, 3) unit vectors.
        lengths: (K,) of the lines, cm.
        voxel_size: (3,) edges of a voxel, cm.
    """
    advanced = np.abs(directions) * lengths[:, None] / voxel_size
    in_steps = np.arange(3) != np.argmax(np.nan_to_num(advanced), axis=1)[:, None]
    of_steps = np.where(advanced > ONE_STEP, 0.1 / np.maximum(advanced, ONE_STEP) ** 2, 1 / 6)
    variance = in_steps * of_steps * (voxel_size / lengths[:, None]) ** 2 * (1 - directions**2)
    return np.sqrt(variance.sum(axis=1) / 2)


@compiled
def _fit(
    positions: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    from_start: np.ndarray,
    chosen: np.ndarray,
    places: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fit lines: positions against the path length from the start.

    Returns:
        Directions, mean squares of the voxels aside in each of two planes and along (cm2), number of voxels, and how
        much of a turn at the places (path length from the start, (K, P)) is in the slope.
    """
    count = len(starts) - 1
    directions, aside, along = np.full((count, 3), np.nan), np.full(count, np.nan), np.full(count, np.nan)
    counts, turned = np.ones(count), np.full(places.shape, np.nan)
    for p in range(count):
        own = starts[p] + np.flatnonzero(chosen[starts[p] : starts[p + 1]])
        if len(own) < 2:
            continue
        w, s = weights[own] / weights[own].sum(), from_start[own]
        s_mean, mean, product = (w * s).sum(), np.zeros(3), np.zeros(3)
        for j in range(3):
            mean[j] = (w * positions[own, j]).sum()
            product[j] = (w * (s - s_mean) * (positions[own, j] - mean[j])).sum()
        size, square = np.sqrt((product**2).sum()), (w * (s - s_mean) ** 2).sum()
        if size == 0:
            continue
        directions[p] = product / size
        residual = 0.0
        for i in range(len(own)):
            ahead = 0.0
            for j in range(3):
                ahead += (positions[own[i], j] - mean[j]) * directions[p, j]
                residual += w[i] * (positions[own[i], j] - mean[j]) ** 2
            residual -= w[i] * ahead * ahead
        aside[p], along[p], counts[p] = residual / 2, square, len(own)
        for place in range(places.shape[1]):
            behind = np.maximum(s - places[p, place], 0.0)
            turned[p, place] = (w * (s - s_mean) * behind).sum() / square
    return directions, aside, along, counts, turned
