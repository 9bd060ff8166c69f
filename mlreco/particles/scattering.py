"""Multiple scattering: how it turns a line fitted to a track, and how much path it hides from a smooth one."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from mlreco.particles.csda import kinetic_energy
from mlreco.particles.liquid_argon import MASSES, RADIATION_LENGTH
from mlreco.particles.stopping import PARTICLES

HIGHLAND = 13.6
"""MeV; the scattering angle of a unit charge in one radiation length times momentum and speed (Particle Data Group)."""

SMOOTHED = 0.93
"""Mean distance of two points drawn from the kernel that smooths a path, nodes: that of means over a node (a triangle,
for directions) folded with (1, 2, 1) / 4."""

RESOLVED = 0.5
"""Up to this part of a voxel from where a particle stops its path is not seen."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
PLACES, PARTS = (_NODES + 1) / 2, _WEIGHTS / 2
"""Where along a line, in parts of its length, and for which part of it, the turns of a path are summed up."""

_GRID = 0.02
_REACH = 1200.0


def scattering_angle(energy: ArrayLike, length: ArrayLike, mass: float | np.ndarray) -> np.ndarray:
    """Return by how much a path turns on its way: the standard deviation of its angle in each of two planes, rad.

    The formula of Highland in the form of Lynch and Dahl (Nucl. Instrum. Meth. B 58 (1991) 6), as the Particle Data
    Group gives it ("Passage of particles through matter").

    Args:
        energy: kinetic, MeV; where it is not known the angle is NaN.
        length: path length, cm.
        mass: MeV.
    """
    energy, length = np.asarray(energy, np.float64), np.asarray(length, np.float64)
    energy = np.where((energy > 0) & np.isfinite(energy), energy, np.nan)
    momentum_beta = energy * (energy + 2 * mass) / (energy + mass)
    thickness = np.where(length > 0, length, np.nan) / RADIATION_LENGTH
    return HIGHLAND / momentum_beta * np.sqrt(thickness) * np.maximum(0.5, 1 + 0.038 * np.log(thickness))


def scattering_of_line(
    energies: np.ndarray, mass: float | np.ndarray, lengths: np.ndarray, turned: np.ndarray
) -> np.ndarray:
    """Return by how much multiple scattering turns lines fitted to paths, (K,) rad.

    It is the standard deviation in each of two planes. Each turn of the path counts with the part of it that is in the
    line: the variances of the turns, which grow as the particle slows down, are summed up with the squares of that. For
    an even weight along the line and a constant momentum the sum is 13 / 35 of the variance of the path's own turn.

    Args:
        energies: (K, P) kinetic, MeV, at `PLACES` along the line.
        mass: MeV, or (K, 1).
        lengths: (K,) path length of the lines, cm.
        turned: (K, P) part of a turn there that is in the line.
    """
    angles = scattering_angle(energies, lengths[:, None], mass)
    return np.sqrt(((angles * turned) ** 2) @ PARTS)


def scattering_of_track(
    ranges: np.ndarray, before: np.ndarray, lengths: np.ndarray, turned: np.ndarray, particle: str
) -> np.ndarray:
    """Return by how much multiple scattering turns the lines fitted to the starts of tracks, (K,) rad.

    Args:
        ranges: (K,) how far the particles go on from the first voxel until they have stopped, cm.
        before: (K,) path length from where they come from to the first voxel, cm; 0 where that is not known.
        lengths: (K,) path length of the lines, cm.
        turned: (K, P) as in `scattering_of_line`.
        particle: ``muon``, ``pion`` or ``proton``.

    Raises:
        UserError: no such particle.
    """
    at = lengths[:, None] * np.append(0.0, PLACES)
    energies, mass = kinetic_energy(np.maximum(ranges[:, None] - at, 0.0), particle), MASSES[particle]
    hidden = np.where(before > 0, scattering_angle(energies[:, 0], before, mass), 0.0)
    return np.hypot(scattering_of_line(energies[:, 1:], mass, lengths, turned), hidden)


def scattering_of_likely(
    ranges: np.ndarray, before: np.ndarray, lengths: np.ndarray, turned: np.ndarray, proton: np.ndarray
) -> np.ndarray:
    """Return the same for tracks of which it is known how probable it is that they are protons, (K,) rad.

    Args:
        ranges: (K, 2) as in `scattering_of_track`, of a muon and of a proton.
        before: as there.
        lengths: as there.
        turned: as there.
        proton: (K,) probability; that of a NaN is a muon.
    """
    muon, heavy = (
        scattering_of_track(of_one, before, lengths, turned, particle)
        for of_one, particle in zip(ranges.T, PARTICLES, strict=True)
    )
    return np.where(proton > 0.5, heavy, muon)


def hidden_by_smoothing(lengths: np.ndarray, particle: str, spacing: float, voxel: float) -> np.ndarray:
    """Return how much longer than its smoothed path the path of a particle is that stops at the end, (K,) cm.

    Directions wander as in Brownian motion, with a variance of D for each plane and cm that grows as the particle slows
    down. Means over a kernel are shorter than what they are taken of by half the variance of the direction within the
    kernel: by D E|u - v| / 2 in both planes together, u and v drawn from the kernel.

    Args:
        lengths: (K,) smoothed path lengths, cm.
        particle: ``muon``, ``pion`` or ``proton``.
        spacing: distance of the nodes of the path, cm.
        voxel: edge of a voxel, cm.

    Raises:
        UserError: no such particle.
    """
    left, hidden = _hidden_paths(particle, spacing, voxel)
    return np.interp(lengths, left, hidden)


@cache
def _hidden_paths(particle: str, spacing: float, voxel: float) -> tuple[np.ndarray, np.ndarray]:
    """Return residual ranges and the path that smoothing hides from there to the end, cm."""
    left = np.arange(_GRID / 2, _REACH, _GRID)
    variance = scattering_angle(kinetic_energy(left, particle), np.array(spacing), MASSES[particle]) ** 2
    rate = np.where(left > RESOLVED * voxel, np.minimum(variance * SMOOTHED / 2, 1.0), 0.0)
    return left, np.cumsum(rate) * _GRID
