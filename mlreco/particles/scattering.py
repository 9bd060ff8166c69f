"""Multiple scattering: how it turns a line fitted to a track, and how much path it hides from a smooth one."""

from __future__ import annotations

from functools import cache

import numpy as np

from mlreco.particles.csda import kinetic_energy
from mlreco.particles.liquid_argon import MASSES, RADIATION_LENGTH

HIGHLAND = 13.6
"""MeV; the scattering angle of a unit charge in one radiation length times momentum and speed (Particle Data Group)."""

SMOOTHED = 0.93
"""Mean distance of two points drawn from the kernel that smooths a path, nodes: that of means over a node (a triangle,
for directions) folded with (1, 2, 1) / 4."""

RESOLVED = 0.5
"""Up to this part of a voxel from where a particle stops its path is not seen."""

_GRID = 0.02
_REACH = 1200.0


def scattering_angle(energy: np.ndarray, length: np.ndarray, mass: float | np.ndarray) -> np.ndarray:
    """Return by how much multiple scattering turns the line fitted to a track: the angle within which 68 % are, rad.

    The chord of a path is turned by the scattering angle over the root of 3 in each of two planes (Particle Data Group,
    Passage of particles through matter).

    Args:
        energy: (K,) kinetic, MeV.
        length: (K,) path length of the fit, cm.
        mass: MeV, or (K,).
    """
    plane = _plane_angle(energy, length, mass)
    return np.minimum(1.51 * plane / np.sqrt(3), np.pi / 2)


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
    variance = _plane_angle(kinetic_energy(left, particle), np.array(spacing), MASSES[particle]) ** 2
    rate = np.where(left > RESOLVED * voxel, np.minimum(variance * SMOOTHED / 2, 1.0), 0.0)
    return left, np.cumsum(rate) * _GRID


def _plane_angle(energy: np.ndarray, length: np.ndarray, mass: float | np.ndarray) -> np.ndarray:
    """Return the root of the variance of the angle in a plane after a length, rad."""
    energy = np.where((energy > 0) & np.isfinite(energy), energy, np.nan)
    momentum_beta = energy * (energy + 2 * mass) / (energy + mass)
    thickness = np.where(length > 0, length, np.nan) / RADIATION_LENGTH
    return HIGHLAND / momentum_beta * np.sqrt(thickness) * np.maximum(0.5, 1 + 0.038 * np.log(thickness))
