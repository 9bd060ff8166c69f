"""Spectrum of the electrons of muon decays, as a detector sees it, and the fit of its end point."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from mlreco.analysis.statistics import Fit, fit_density_within

LEAST, MOST = 15.0, 80.0
"""Energies that are fitted, MeV: electrons of less are lost on the track, above there are none."""

RADIATED = 7.0
"""Mean of what an electron loses that loses anything, MeV; most lose nothing.

Of simulated Michel electrons of their true voxels 24 % lose more than 2 MeV, 13 % more than 5 and 5 % more than 12. A
loss of all of them with one mean has not this shape: the end point would come out 2 MeV too high.
"""

RESOLUTION = 1.5
"""Resolution of the energy of what is seen, MeV."""

SHARP = 0.4
"""That of true energies, MeV: what keeps their likelihood smooth. A greater one would move the edge."""

OTHERS, MOST_OTHERS = 0.01, 0.5
"""Part of the electrons that has any energy: those of muons that still moved, and what is no Michel electron or more
than one. It is fitted, from the first up to the second."""

MOST_LOSING = 0.9
"""Where a greater part of the electrons loses energy, the spectrum is not that of whole electrons: no end point."""

_STEP = 0.1
_EDGES = np.arange(-20.0, 100.0 + _STEP / 2, _STEP)
_CENTRES = (_EDGES[1:] + _EDGES[:-1]) / 2
_INSIDE = (_CENTRES > LEAST) & (_CENTRES < MOST)


def in_window(energies: np.ndarray) -> np.ndarray:
    """Tell which energies are fitted."""
    return (energies > LEAST) & (energies < MOST)


def density(
    energies: np.ndarray, end_point: float, losing: float, others: float, resolution: float = RESOLUTION
) -> np.ndarray:
    """Return the density of energies from `LEAST` to `MOST`, 1/MeV.

    The spectrum of muon decay at rest, x^2 (3 - 2 x) up to x = 1 (Michel 1950, with the parameters of the Standard
    Model and without the electron's mass), is smeared by a Gaussian. A part of the electrons loses energy,
    exponentially with the mean `RADIATED`: what they radiate.

    Args:
        energies: (N,) MeV.
        end_point: greatest energy, MeV.
        losing: part of the electrons that loses energy.
        others: part that has any energy.
        resolution: width of the Gaussian, MeV.
    """
    x = np.clip(_EDGES / end_point, 0, 1)
    decays = np.diff(x**3 * (2 - x))
    tail = np.exp(-np.arange(0, 10 * RADIATED, _STEP) / RADIATED)
    tail *= losing / tail.sum()
    tail[0] += 1 - losing
    reach = int(np.ceil(6 * resolution / _STEP))
    gauss = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP / resolution) ** 2)
    seen = fftconvolve(decays, tail[::-1])[len(tail) - 1 :]
    seen = np.maximum(fftconvolve(seen, gauss / gauss.sum(), mode="same"), 0)
    seen /= seen[_INSIDE].sum() * _STEP
    return (1 - others) * np.interp(energies, _CENTRES, seen) + others / (MOST - LEAST)


def fit_end_point(energies: np.ndarray, resolution: float = RESOLUTION) -> Fit:
    """Fit end point, MeV, part of the electrons that loses energy and part of others, to energies of a resolution.

    All is NaN where more than `MOST_LOSING` lose energy, or where there are too few energies.
    """

    def loss(values: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        end_point, losing, others = parameters
        return -np.log(density(values, end_point, losing, others, resolution))

    least, most = np.array([30.0, 0.0, OTHERS]), np.array([70.0, 1.0, MOST_OTHERS])
    start, nothing = np.array([50.0, 0.3, 0.05]), np.full(3, np.nan)
    found = fit_density_within(energies[in_window(energies)], loss, start, least, most)
    return found if found.parameters[1] <= MOST_LOSING else Fit(nothing, nothing)
