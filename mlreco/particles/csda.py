"""Range, kinetic energy and dE/dx of muons, charged pions and protons that stop in liquid argon.

Between the published numbers (:mod:`mlreco.particles.range_tables`) a cubic spline of log range against log energy
serves. Pions lose what muons of the same speed lose: their table is that of muons with energies and ranges times the
ratio of masses.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mlreco.errors import UserError, nearest
from mlreco.particles.liquid_argon import DENSITY, MASSES
from mlreco.particles.range_tables import MUON, PROTON

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

STOPPING = ("muon", "pion", "proton")
"""Particles with a range."""


@cache
def _splines(particle: str) -> tuple[CubicSpline, CubicSpline]:
    """Return log range (cm) of log energy (MeV), and its inverse."""
    from scipy.interpolate import CubicSpline

    if particle not in STOPPING:
        raise UserError(f"no range table of '{particle}'{nearest(particle, STOPPING)}")
    scale = MASSES["pion"] / MASSES["muon"] if particle == "pion" else 1.0
    energy, _, csda = np.array(PROTON if particle == "proton" else MUON).T

    log_energy, log_range = np.log(energy * scale), np.log(csda * scale / DENSITY)
    return CubicSpline(log_energy, log_range), CubicSpline(log_range, log_energy)


def csda_range(energy: ArrayLike, particle: str) -> np.ndarray:
    """Return how far a particle goes before it stops, cm.

    Args:
        energy: kinetic energies, MeV.
        particle: ``muon``, ``pion`` or ``proton``.

    Returns:
        Array of the shape of ``energy``; 0 at 0, NaN for negative energies and beyond the table. Below its first line
        the range grows as the power of the energy that the spline has there.

    Raises:
        UserError: no such particle.
    """
    return _evaluate(_splines(particle)[0], energy)


def kinetic_energy(length: ArrayLike, particle: str) -> np.ndarray:
    """Return the energy of a particle that stops after a path of that length, MeV; the inverse of `csda_range`.

    Args:
        length: path lengths, cm.
        particle: ``muon``, ``pion`` or ``proton``.

    Raises:
        UserError: no such particle.
    """
    return _evaluate(_splines(particle)[1], length)


def stopping_power(residual_range: ArrayLike, particle: str) -> np.ndarray:
    """Return the mean dE/dx of a particle at a distance before it stops, MeV/cm.

    Args:
        residual_range: path lengths that are left, cm.
        particle: ``muon``, ``pion`` or ``proton``.

    Returns:
        Array of the shape of ``residual_range``; NaN at 0, for negative ranges and beyond the table.

    Raises:
        UserError: no such particle.
    """
    left = np.asarray(residual_range, np.float64)
    left = np.where(left > 0, left, np.nan)
    spline = _splines(particle)[1]
    power = spline(np.clip(np.log(left), *_domain(spline)), 1)
    return power * kinetic_energy(left, particle) / left


def _evaluate(spline: CubicSpline, values: ArrayLike) -> np.ndarray:
    """Return exp(spline(log(values))), as a power law below the table."""
    values = np.asarray(values, np.float64)
    low, high = _domain(spline)
    positive = np.where(values > 0, values, np.nan)
    logs = np.log(positive)
    inside = np.clip(logs, low, None)
    result = np.exp(spline(np.where(inside > high, np.nan, inside)) + (logs - inside) * float(spline(low, 1)))
    return np.where(values == 0, 0.0, result)


def _domain(spline: CubicSpline) -> tuple[float, float]:
    return float(spline.x[0]), float(spline.x[-1])
