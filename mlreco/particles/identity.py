"""Electron or photon, from the start of a shower.

Inputs: the median dE/dx over the first 3 cm, and the distance from the vertex to the start where the vertex is known.
An electron ionises once (about 1.9 MeV/cm), a pair from a photon twice; log dE/dx has the widths of `WIDTH`, with the
tails of a Student t with 3 degrees of freedom. Some photons ionise once, for they scatter off an electron or share
their energy unevenly; some electrons radiate at once; and voxels of others lie on the start. A photon that converts
goes an exponential distance first, an electron starts at the vertex to within the uncertainty of both, or the vertex is
wrong. Where the start itself is wrong both inputs mislead at once, whatever the particle: dE/dx is that inside a
shower, the distance anything. Electrons and photons are taken to be equally many.
"""

from __future__ import annotations

import math

import numpy as np

from mlreco.particles.vertices import CONVERSION

ELECTRON_DEDX, PHOTON_DEDX = 2.0, 4.1
"""Medians of dE/dx at the start, MeV/cm, of simulated showers."""

WIDTH = 0.13
FREEDOM = 3.0
AS_THE_OTHER = {"photon": 0.15, "electron": 0.1}
"""Part of the photons that ionise as electrons do, and of electrons that ionise as pairs. These and `GAP_WRONG` are
more than what is fitted to showers that start where they do in truth: with those parts the probabilities of all showers
of chains are worse (mean log loss 0.48 instead of 0.46 for fat events, 0.42 instead of 0.41 for thin ones)."""

GAP_ERROR = 0.6
"""Uncertainty of the distance from the vertex to the start, cm."""

GAP_WRONG = 0.1
"""Part of the electrons whose distance is one from a wrong vertex."""

START_WRONG = 0.05
"""Part of the showers whose start is wrong: fewer of true instances, more of those of chains
(``benchmarks/results/physics_constants.md``). Without it 0.99 of a chain was right in 0.85."""


def photon_probability(start_dedx: np.ndarray, gap: np.ndarray, start_wrong: float = START_WRONG) -> np.ndarray:
    """Return the probability that a shower is a photon's rather than an electron's.

    Args:
        start_dedx: (K,) median dE/dx at the start, MeV/cm; NaN where not known.
        gap: (K,) distance from the vertex to the start, cm; NaN where not known.
        start_wrong: `START_WRONG`.

    Returns:
        (K,) probabilities, NaN where neither input is known.
    """
    log_dedx = np.log(np.where((start_dedx > 0) & np.isfinite(start_dedx), start_dedx, np.nan))
    once, twice = (_student((log_dedx - np.log(peak)) / WIDTH) for peak in (ELECTRON_DEDX, PHOTON_DEDX))
    of_photons, of_electrons = AS_THE_OTHER["photon"], AS_THE_OTHER["electron"]
    anywhere = np.exp(-gap / CONVERSION) / CONVERSION
    at_vertex = (1 - GAP_WRONG) * 2 * _student(gap / GAP_ERROR) / GAP_ERROR + GAP_WRONG * anywhere
    photon, electron, misplaced = (
        np.where(np.isnan(log_dedx), 1.0, by_dedx) * np.where(np.isnan(gap), 1.0, by_gap)
        for by_dedx, by_gap in (
            ((1 - of_photons) * twice + of_photons * once, anywhere),
            ((1 - of_electrons) * once + of_electrons * twice, at_vertex),
            (twice, anywhere),
        )
    )
    photon, electron = ((1 - start_wrong) * own + start_wrong * misplaced for own in (photon, electron))
    return np.where(np.isnan(log_dedx) & np.isnan(gap), np.nan, photon / (photon + electron))


def _student(pull: np.ndarray) -> np.ndarray:
    """Return the density of a Student t of `FREEDOM`."""
    constant = math.gamma((FREEDOM + 1) / 2) / math.gamma(FREEDOM / 2) / math.sqrt(FREEDOM * math.pi)
    return constant * (1 + pull**2 / FREEDOM) ** (-(FREEDOM + 1) / 2)
