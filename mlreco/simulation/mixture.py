"""The mixture of particles of the PILArNet images: a vertex with several particles, and others that stand alone.

The ranges of energy are those that PILArNet states (arXiv:2006.01993); the shares of the particles were tuned to its
numbers of instances and voxels in an event.
"""

from __future__ import annotations

import numpy as np

from mlreco.simulation.primaries import isotropic, log_uniform, primaries

_ELECTRON, _MUON, _PHOTON, _PION, _PROTON = 11, 13, 22, 211, 2212
_KINETIC_MEV = {_ELECTRON: (35, 1000), _PHOTON: (35, 1000), _MUON: (35, 1000), _PION: (35, 1000), _PROTON: (35, 400)}
_AT_VERTEX = {_ELECTRON: 0.9, _PHOTON: 0.9, _MUON: 1.5, _PION: 1.4, _PROTON: 1.2}
_ALONE = {_ELECTRON: 0.9, _PHOTON: 0.9, _MUON: 2.4, _PROTON: 1.2}
"""Relative numbers of the particles. Charged leptons and pions have either sign."""

_COSMIC_SHARE = 0.25
_COSMIC_MEV = (200, 5000)
_NEGATIVE_COSMICS = 0.45
_VERTEX_REGION = 0.9
"""Part of each half edge within which the vertex lies."""

_INSIDE_MM = 0.01
"""How far below the upper face a cosmic muon begins."""


def mixture(rng: np.random.Generator, half: float, vertex: tuple[int, int], alone: tuple[int, int]) -> np.ndarray:
    """Draw the primaries of an event.

    A quarter of the particles that stand alone are cosmic muons, which enter through the face at +y with a zenith angle
    distributed as cos^2. The other directions are isotropic.

    Args:
        rng: source of the draws.
        half: half the edge of the cube, mm.
        vertex: fewest and most particles from the common vertex.
        alone: fewest and most other particles.

    Returns:
        (P,) `primaries.PRIMARY`; interaction 0 is the vertex, the others are numbered from 1.
    """
    shot = []
    position = rng.uniform(-_VERTEX_REGION * half, _VERTEX_REGION * half, 3)
    for _ in range(rng.integers(vertex[0], vertex[1] + 1)):
        pdg, kinetic = _draw(rng, _AT_VERTEX)
        shot.append((pdg, kinetic, position, isotropic(rng), 0))
    for number in range(1, rng.integers(alone[0], alone[1] + 1) + 1):
        if rng.random() < _COSMIC_SHARE:
            shot.append((*_cosmic(rng, half), number))
        else:
            pdg, kinetic = _draw(rng, _ALONE)
            shot.append((pdg, kinetic, rng.uniform(-half, half, 3), isotropic(rng), number))
    return primaries(shot)


def _draw(rng: np.random.Generator, shares: dict[int, float]) -> tuple[int, float]:
    """Draw a particle and its kinetic energy: log-uniform, for protons uniform."""
    weights = np.array(list(shares.values()))
    pdg = int(rng.choice(list(shares), p=weights / weights.sum()))
    low, high = _KINETIC_MEV[pdg]
    kinetic = rng.uniform(low, high) if pdg == _PROTON else log_uniform(rng, low, high)
    if pdg in (_ELECTRON, _MUON, _PION) and rng.random() < 0.5:
        pdg = -pdg
    return pdg, kinetic


def _cosmic(rng: np.random.Generator, half: float) -> tuple:
    """Draw a muon that enters from above."""
    cosine, azimuth = rng.random() ** (1 / 3), rng.uniform(0, 2 * np.pi)
    sine = np.sqrt(1 - cosine * cosine)
    pdg = _MUON if rng.random() < _NEGATIVE_COSMICS else -_MUON
    kinetic = log_uniform(rng, *_COSMIC_MEV)
    position = (rng.uniform(-half, half), half - _INSIDE_MM, rng.uniform(-half, half))
    return pdg, kinetic, position, (sine * np.cos(azimuth), -cosine, sine * np.sin(azimuth))
