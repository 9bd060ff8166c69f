"""The straight line along which a track starts, and how uncertain its voxels leave it.

It is fitted to the voxels of the first centimetres, weighted with their charge. Its direction is off by:

* *Steps.* Voxels draw a line as a staircase. Along an axis in which it advances by n voxels of edge a within its length
  l, the sawtooth between line and staircase makes its slope uncertain by a / l / sqrt(10) / n. Up to `ONE_STEP` it may
  as well have no step there: its slope is then that of any line which stays in its voxels, which is in a triangle of
  width 2 a / l, uncertain by a / l / sqrt(6).
* *Noise.* Charge fluctuates, as if a part of the voxels scattered about the line.
* *Company.* Voxels that touch other particles hold charge of both: it shifts them by as far as charge is spread.
* *Multiple scattering.* The line tells how much of a turn of the path at each place is in it, and
  :mod:`mlreco.particles.scattering` how much a particle turns there.

The same four take it off the track where that starts: the mean of the voxels and the slope are both off, and the start
is away from the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.company import shares_in_company, touched_voxels
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

SHARED, ASSIGNED = 0.3, 0.41
"""By how much company shifts the voxels that it touches, over the spread of voxels about the line; the slope is off by
this times the part that is touched times the spread over that along the line. The second where a network has assigned
the voxels, for then some are the other's."""

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
        points: (K, 3) float64 where the lines pass the ends of the paths, cm.
        aside: (K,) float64 uncertainty of these points from steps, noise and company, across the line, cm.
        shifted: (K, P) float64 by how much a turn of the path at `scattering.PLACES` shifts the point, cm.
    """

    directions: np.ndarray
    lengths: np.ndarray
    steps: np.ndarray
    noise: np.ndarray
    company: np.ndarray
    turned: np.ndarray
    points: np.ndarray
    aside: np.ndarray
    shifted: np.ndarray

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
    touched = touched_voxels(voxels, chosen, proximity)
    fit = _Fit(
        *_fit(voxels.positions, voxels.weights, voxels.starts, from_start, chosen, touched, lengths[:, None] * PLACES)
    )
    spread = np.sqrt(np.maximum(fit.aside, (voxels.voxel_size**2).mean() / 12))
    along = np.sqrt(fit.along)
    noise = NOISE * spread / np.sqrt(fit.counts)
    shift = np.where(assigned, ASSIGNED, SHARED) * spread
    directions, extent = fit.directions, np.sqrt(12) * along
    of_mean, of_slope = (
        staircase_offset(directions, extent, voxels.voxel_size),
        staircase_error(directions, extent, voxels.voxel_size),
    )
    ends = trajectories.ends[np.arange(len(voxels)), np.asarray(backward).astype(np.int64)]
    ahead = ((ends - fit.means) * directions).sum(axis=1, keepdims=True)
    variance = of_mean**2 + (fit.before * of_slope) ** 2 + noise**2 * (1 + (fit.before / along) ** 2)
    return StartLines(
        directions,
        np.where(np.isfinite(fit.along), lengths, np.nan),
        of_slope,
        noise / along,
        shift * shares_in_company(voxels, chosen, touched) / along,
        fit.turned,
        fit.means + ahead * directions,
        np.sqrt(variance + (shift * fit.pulled) ** 2),
        fit.shifted,
    )


def staircase_error(directions: np.ndarray, lengths: np.ndarray, voxel_size: np.ndarray) -> np.ndarray:
    """Return how uncertain the steps of voxels leave lines, (K,) rad: standard deviation in each of two planes.

    Args:
        directions: (K, 3) unit vectors.
        lengths: (K,) of the lines, cm.
        voxel_size: (3,) edges of a voxel, cm.
    """
    return _of_staircase(directions, lengths, voxel_size, 1 / 10, 1 / 6) / lengths


def staircase_offset(directions: np.ndarray, lengths: np.ndarray, voxel_size: np.ndarray) -> np.ndarray:
    """Return how uncertain the steps of voxels leave the means of lines, (K,) cm: standard deviation across the line.

    The mean of a sawtooth over a length that is no whole number of its teeth is off by a / n / sqrt(360) for n teeth of
    height a. With fewer than one tooth, a step or none, it is off by a (1 - n) / sqrt(12): a / sqrt(54) for lines of up
    to `ONE_STEP`. Both are independent of the errors of the slope.

    Args:
        directions: as in `staircase_error`, like the others.
        lengths: (K,) cm.
        voxel_size: (3,) cm.
    """
    return _of_staircase(directions, lengths, voxel_size, 1 / 360, 1 / 54)


def _of_staircase(
    directions: np.ndarray, lengths: np.ndarray, voxel_size: np.ndarray, of_tooth: float, of_step: float
) -> np.ndarray:
    """Return the standard deviation across a line, (K,) cm, from variances in units of a / n squared and a squared."""
    advanced = np.abs(directions) * lengths[:, None] / voxel_size
    in_steps = np.arange(3) != np.argmax(np.nan_to_num(advanced), axis=1)[:, None]
    of_steps = np.where(advanced > ONE_STEP, of_tooth / np.maximum(advanced, ONE_STEP) ** 2, of_step)
    variance = in_steps * of_steps * voxel_size**2 * (1 - directions**2)
    return np.sqrt(variance.sum(axis=1) / 2)


class _Fit(NamedTuple):
    """Lines fitted to the voxels of K particles.

    Attributes:
        directions: (K, 3) unit vectors.
        means: (K, 3) of the voxels, cm.
        aside: (K,) mean square of the voxels aside in each of two planes, cm2.
        along: (K,) variance of their path lengths, cm2.
        before: (K,) mean path length from the start, cm.
        counts: (K,) number of voxels.
        pulled: (K,) by how much the line shifts at the start if all touched voxels shift by 1.
        turned: (K, P) how much of a turn at the places is in the slope.
        shifted: (K, P) by how much it shifts the line at the start, cm.
    """

    directions: np.ndarray
    means: np.ndarray
    aside: np.ndarray
    along: np.ndarray
    before: np.ndarray
    counts: np.ndarray
    pulled: np.ndarray
    turned: np.ndarray
    shifted: np.ndarray


@compiled
def _fit(
    positions: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    from_start: np.ndarray,
    chosen: np.ndarray,
    touched: np.ndarray,
    places: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Fit lines, positions against the path length from the start; return the fields of `_Fit`.

    Args:
        positions: (N, 3) cm.
        weights: (N,).
        starts: (K + 1,) first voxel of each particle.
        from_start: (N,) path length from the start, cm.
        chosen: (N,) bool.
        touched: (N,) bool.
        places: (K, P) path lengths of turns from the start, cm.
    """
    count = len(starts) - 1
    directions, means = np.full((count, 3), np.nan), np.full((count, 3), np.nan)
    aside, along, before = np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.nan)
    counts, pulled = np.ones(count), np.full(count, np.nan)
    turned, shifted = np.full(places.shape, np.nan), np.full(places.shape, np.nan)
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
        directions[p], means[p] = product / size, mean
        residual = 0.0
        for i in range(len(own)):
            ahead = 0.0
            for j in range(3):
                ahead += (positions[own[i], j] - mean[j]) * directions[p, j]
                residual += w[i] * (positions[own[i], j] - mean[j]) ** 2
            residual -= w[i] * ahead * ahead
        aside[p], along[p], before[p], counts[p] = residual / 2, square, s_mean, len(own)
        at_start = w * (1 - s_mean * (s - s_mean) / square)  # weights with which the voxels make the line there
        pulled[p] = (at_start * touched[own]).sum()
        for place in range(places.shape[1]):
            behind = np.maximum(s - places[p, place], 0.0)
            turned[p, place] = (w * (s - s_mean) * behind).sum() / square
            shifted[p, place] = (at_start * behind).sum()
    return directions, means, aside, along, before, counts, pulled, turned, shifted
