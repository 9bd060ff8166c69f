"""Where electromagnetic showers start, in which direction, and how much they ionise there.

A shower has a main axis, the principal axis of its energy, and two senses along it. In each sense it starts at the
outermost voxel of the outermost part of substance: blobs of scattered photons lie anywhere, also behind the start. The
sense in which a shower widens is the likelier one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.geometry import weighted_main_axes
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.landmarks import Landmarks
from mlreco.particles.skeleton import Lines

PART_SHARE = 0.05
"""A shower may start in a part with at least this share of its weight."""

DIRECTION_REACH = 12.0
"""The direction is that of the energy up to this distance from the start, cm."""

TRUNK = 4.0
"""The direction of the first centimetres, along which dE/dx is measured, is that of the energy up to this distance."""

DEDX_RADIUS, DEDX_STEP, DEDX_STEPS = 1.0, 0.5, 6
"""dE/dx at the start: the median over steps, cm, of the energy within the radius, cm; the first step does not count."""

FAINT = 0.3
"""Voxels below this part of the median of the outermost ones are no start."""

WIDENING = 6.0
"""Log odds of a sense for each unit of the correlation of distance along and from the axis; fitted to simulation:
between those of true instances and those of chains, whose showers have blobs of others behind their start."""

FARTHEST = 5.0
"""Voxels farther from the axis than this, cm, count as if they were there: a shower has most of its energy within half
a Moliere radius (9 cm), what is beyond are blobs of scattered photons that lie anywhere."""

ANGLE_SCATTERING, ANGLE_LEAST = 9.8, 0.064
"""Angle within which 68 % of directions are: 9.8 rad MeV / energy, at least 0.064 rad; fitted to simulation."""


def direction_error(energies: np.ndarray) -> np.ndarray:
    """Return the uncertainty of the direction of showers: the angle within which 68 % are, rad.

    Below some MeV it is more than any angle: such a shower points nowhere.

    Args:
        energies: calorimetric energies, MeV.
    """
    energies = np.asarray(energies, np.float64)
    known = (energies > 0) & np.isfinite(energies)
    return np.hypot(ANGLE_SCATTERING / np.where(known, energies, np.nan), ANGLE_LEAST)


@dataclass(frozen=True)
class ShowerStarts:
    """Starts of K particles in both senses of their main axis.

    Attributes:
        positions: (K, 2, 3) float64 start in either sense, cm.
        directions: (K, 2, 3) float64 unit direction there; NaN where all voxels are in one place.
        dedx: (K, 2) float64 median dE/dx at the start, MeV/cm; NaN without energies or beyond the first step.
        sense: (K,) float64 log odds of the first sense.
    """

    positions: np.ndarray
    directions: np.ndarray
    dedx: np.ndarray
    sense: np.ndarray


def find_shower_starts(voxels: ParticleVoxels, landmarks: Landmarks, lines: Lines, wanted: np.ndarray) -> ShowerStarts:
    """Return the starts of showers.

    Args:
        voxels: K particles.
        landmarks: theirs.
        lines: theirs, for their parts.
        wanted: (K,) bool: which particles are showers; the others have NaN everywhere.
    """
    axes = weighted_main_axes(voxels.positions, voxels.owners, voxels.weights, len(voxels))
    parts = lines.parts[landmarks.owners]
    return ShowerStarts(
        *_starts(
            voxels.positions,
            voxels.energies,
            voxels.weights,
            voxels.starts,
            parts,
            landmarks.starts,
            axes,
            voxels.voxel_size,
            np.asarray(wanted, np.bool_),
        )
    )


@compiled
def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float:
    total = weights.sum()
    one, other = a - (weights * a).sum() / total, b - (weights * b).sum() / total
    scale = (weights * one * one).sum() * (weights * other * other).sum()
    return (weights * one * other).sum() / np.sqrt(scale) if scale > 0 else 0.0


@compiled
def _along_and_aside(x: np.ndarray, origin: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    along, aside = np.empty(len(x)), np.empty(len(x))
    for i in range(len(x)):
        square, ahead = 0.0, 0.0
        for j in range(3):
            ahead += (x[i, j] - origin[j]) * axis[j]
            square += (x[i, j] - origin[j]) ** 2
        along[i], aside[i] = ahead, np.sqrt(max(square - ahead * ahead, 0.0))
    return along, aside


@compiled
def _outermost(along: np.ndarray, weights: np.ndarray, part: np.ndarray, heavy: np.ndarray, sign: float) -> int:
    """Return the voxel at which a shower starts in a sense: outermost, not faint, in the outermost heavy part."""
    outer, best = -1, np.inf
    for i in range(len(along)):
        if heavy[part[i]] and sign * along[i] < best:
            best, outer = sign * along[i], i
    own = np.flatnonzero(part == part[outer])
    order = own[np.argsort(sign * along[own])]
    near = order[: max(1, min(len(order), 12))]
    limit = FAINT * np.median(weights[near])
    for i in order:
        if weights[i] >= limit:
            return i
    return outer


@compiled
def _mean_direction(
    x: np.ndarray, weights: np.ndarray, start: np.ndarray, reach: float, ahead: np.ndarray
) -> np.ndarray:
    """Return the unit direction of the weight within reach of a point, ahead of it; NaN if there is none."""
    mean = np.zeros(3)
    for i in range(len(x)):
        distance, forward = 0.0, 0.0
        for j in range(3):
            distance += (x[i, j] - start[j]) ** 2
            forward += (x[i, j] - start[j]) * ahead[j]
        if distance <= reach * reach and forward > 0:
            for j in range(3):
                mean[j] += weights[i] * (x[i, j] - start[j])
    size = np.sqrt((mean**2).sum())
    return mean / size if size > 0 else np.full(3, np.nan)


@compiled
def _start_dedx(
    x: np.ndarray, energies: np.ndarray, start: np.ndarray, direction: np.ndarray, size: np.ndarray
) -> float:
    """Return the median over the first steps of the energy near a straight line, per length."""
    along, aside = _along_and_aside(x, start, direction)
    crossed = (np.abs(direction) * size).sum()
    bins = np.zeros(DEDX_STEPS)
    for i in range(len(x)):
        if aside[i] > DEDX_RADIUS:
            continue
        left, right = along[i] - crossed / 2, along[i] + crossed / 2
        for b in range(DEDX_STEPS):
            overlap = min(right, (b + 1) * DEDX_STEP) - max(left, b * DEDX_STEP)
            if overlap > 0:
                bins[b] += energies[i] * overlap / crossed
    last = DEDX_STEPS
    while last > 0 and bins[last - 1] == 0:
        last -= 1
    return np.median(bins[1:last]) / DEDX_STEP if last > 1 else np.nan


@compiled
def _starts(
    positions: np.ndarray,
    energies: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    parts: np.ndarray,
    point_starts: np.ndarray,
    axes: np.ndarray,
    size: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    count = len(starts) - 1
    where, directions = np.full((count, 2, 3), np.nan), np.full((count, 2, 3), np.nan)
    dedx, sense = np.full((count, 2), np.nan), np.full(count, np.nan)
    for p in range(count):
        if not wanted[p]:
            continue
        x, w = positions[starts[p] : starts[p + 1]], weights[starts[p] : starts[p + 1]]
        e = energies[starts[p] : starts[p + 1]]
        part = parts[starts[p] : starts[p + 1]] - point_starts[p]
        totals = np.zeros(point_starts[p + 1] - point_starts[p])
        centre = np.zeros(3)
        for i in range(len(x)):
            totals[part[i]] += w[i]
            for j in range(3):
                centre[j] += w[i] * x[i, j]
        centre /= w.sum()
        heavy = totals >= min(PART_SHARE * totals.sum(), totals.max())
        along, aside = _along_and_aside(x, centre, axes[p])
        sense[p] = WIDENING * _correlation(along, np.minimum(aside, FARTHEST), w)
        for s in range(2):
            sign = 1.0 - 2.0 * s
            start = x[_outermost(along, w, part, heavy, sign)]
            where[p, s] = start
            directions[p, s] = _mean_direction(x, w, start, DIRECTION_REACH, sign * axes[p])
            trunk = _mean_direction(x, w, start, TRUNK, sign * axes[p])
            if not np.isnan(trunk[0]):
                dedx[p, s] = _start_dedx(x, e, start, trunk, size)
    return where, directions, dedx, sense
