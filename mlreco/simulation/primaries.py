"""The primary particles of an event, with energies, positions and directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PRIMARY = np.dtype(
    [("pdg", "<i4"), ("kinetic", "<f8"), ("position", "<f8", (3,)), ("direction", "<f8", (3,)), ("interaction", "<i4")]
)
"""PDG code, kinetic energy (MeV), position (mm from the centre of the cube), direction, number of the interaction."""

PDG = {
    "e-": 11,
    "e+": -11,
    "mu-": 13,
    "mu+": -13,
    "gamma": 22,
    "pi0": 111,
    "pi+": 211,
    "pi-": -211,
    "kaon+": 321,
    "kaon-": -321,
    "neutron": 2112,
    "proton": 2212,
    "deuteron": 1000010020,
    "alpha": 1000020040,
}
"""Names of particles, as Geant4 has them."""


def primaries(particles: Sequence[tuple]) -> np.ndarray:
    """Make the table of primaries.

    Args:
        particles: tuples of PDG code, kinetic energy, position, direction and interaction.

    Returns:
        (P,) `PRIMARY`.
    """
    return np.array([tuple(particle) for particle in particles], PRIMARY)


def isotropic(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a direction, evenly over the sphere."""
    cosine, azimuth = rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi)
    sine = np.sqrt(1 - cosine * cosine)
    return sine * np.cos(azimuth), sine * np.sin(azimuth), cosine


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is even between those of two bounds."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
