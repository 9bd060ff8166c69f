"""Electron or photon, from the start of a shower.

Inputs: the median dE/dx over the first 3 cm, and the distance from the vertex to the start where the vertex is known.
An electron ionises once (about 1.9 MeV/cm), a pair from a photon twice; log dE/dx has the widths of `WIDTH`, with the
tails of a Student t with 3 degrees of freedom. A photon that converts goes an exponential distance first, an electron
starts at the vertex to within the uncertainty of both. Electrons and photons are taken to be equally many.
"""

from __future__ import annotations

import numpy as np

from mlreco.particles.vertices import CONVERSION

ELECTRON_DEDX, PHOTON_DEDX = 2.0, 4.1
"""Medians of dE/dx at the start, MeV/cm, of simulated showers."""

WIDTH = 0.13
FREEDOM = 3.0
GAP_ERROR = 0.6
"""Uncertainty of the distance from the vertex to the start, cm."""


def photon_probability(start_dedx: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return the probability that a shower is a photon's rather than an electron's.

    Args:
        start_dedx: (K,) median dE/dx at the start, MeV/cm; NaN where not known.
        gap: (K,) distance from the vertex to the start, cm; NaN where not known.

    Returns:
        (K,) probabilities, NaN where neither input is known.
    """
    dedx = np.where(start_dedx > 0, start_dedx, np.nan)
    by_dedx = _log_tail(np.log(dedx / PHOTON_DEDX) / WIDTH) - _log_tail(np.log(dedx / ELECTRON_DEDX) / WIDTH)
    photon = np.exp(-gap / CONVERSION) / CONVERSION
    electron = np.exp(_log_tail(gap / GAP_ERROR)) / GAP_ERROR
    by_gap = np.log(photon) - np.log(electron)
    odds = np.nan_to_num(by_dedx) + np.nan_to_num(by_gap)
    known = ~(np.isnan(by_dedx) & np.isnan(by_gap))
    return np.where(known, 1 / (1 + np.exp(-odds)), np.nan)


def _log_tail(pull: np.ndarray) -> np.ndarray:
    return -0.5 * (FREEDOM + 1) * np.log1p(pull * pull / FREEDOM)
