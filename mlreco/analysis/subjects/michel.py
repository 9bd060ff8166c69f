"""Spectrum of Michel electrons and its end point."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree

from mlreco.analysis.plots import BLUE, GREY, ORANGE, histogram
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample
from mlreco.analysis.statistics import Fit, Number, fit_density
from mlreco.particles.columns import vectors_of
from mlreco.particles.kinds import Kind, kinds_of

NAME = "michel"
HELP = "energy spectrum of Michel electrons with its end point fitted"
END_POINT = 52.83
"""Greatest energy of the electron, MeV: (m_mu^2 + m_e^2) / 2 m_mu."""

MOST_LOST = 40.0
"""Mean losses above this, MeV, mean that no edge is left in the spectrum: there is no end point then."""

NEAR, MOST_PHOTON = 45.0, 40.0
"""Showers that come from no vertex and no other particle, within so many cm of a Michel electron and below so many MeV,
are photons that it radiated."""

RESOLUTION = 1.5
"""Resolution of the energy of what is seen, MeV."""

_GRID = np.linspace(0, 80, 1601)


def analyse(sample: Sample) -> Result:
    """Fit the spectrum of a muon's decay, smeared, to the energies of Michel electrons attached to a track."""
    table = sample.particles[sample.kinds == Kind.MICHEL]
    table = table[(table["parent"] >= 0) & (table["contained"] != 0) & (table["energy"] > 0)]
    energies = table["energy"].astype(np.float64)
    whole = energies + _radiated(sample, table)
    fits = fit_end_point(energies[energies > LEAST]), fit_end_point(whole[whole > LEAST])
    numbers = [
        _number("end point of the energy of their voxels", fits[0], 0, len(energies), np.nan),
        _number("mean energy that is lost", fits[0], 1, len(energies), np.nan),
        _number("end point with the photons near them", fits[1], 0, len(energies), END_POINT),
    ]
    true = np.empty(0)
    if sample.has_truth and sample.truth is not None:
        kinds = kinds_of(sample.truth["semantic"], sample.scheme)
        chosen = (kinds == Kind.MICHEL) & (np.abs(sample.truth["parent_pdg"]) == 13)
        true = sample.truth["kinetic_energy"][chosen].astype(np.float64) + 0.511
        true = true[np.isfinite(true)]
        numbers.append(_number("end point in truth", fit_end_point(true[true > LEAST]), 0, len(true), END_POINT))
    columns = {"event": table["event"], "particle": table["particle"], "parent": table["parent"]}
    columns |= {"energy": energies, "energy_with_photons": whole}

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        edges = np.linspace(0, 70, 36)
        histogram(axes, energies, edges, "energy (MeV)", BLUE, "voxels of the Michel electron")
        axes.hist(whole, edges, histtype="step", color=ORANGE, label="with the photons near it")
        if len(true):
            axes.hist(true, edges, histtype="step", color=GREY, label="true energy")
        for fit, values, colour in zip(fits, (energies, whole), ("black", ORANGE), strict=True):
            if np.isfinite(fit.parameters).all():
                curve = spectrum(_GRID, *fit.parameters) * (values > LEAST).sum() * (edges[1] - edges[0])
                axes.plot(_GRID[_GRID > LEAST], curve[_GRID > LEAST], color=colour, lw=1, ls="--", label="fit")
        axes.set_xlim(0, 70)
        axes.legend(frameon=False)

    note = (
        "Michel electrons at the end of a track. What they radiate is in other voxels where the images are labelled so "
        "(thin events), and what the track hides is lost too: photons within 45 cm are added for the second end point."
    )
    return Result("Michel electrons", numbers, columns, draw, note)


def _radiated(sample: Sample, michels: np.ndarray) -> np.ndarray:
    """Return the energy of the photons near each Michel electron, MeV; each photon is that of the nearest one."""
    table = sample.particles
    photon = (sample.kinds == Kind.SHOWER) & (table["primary"] != 1) & (table["parent"] < 0)
    photons = table[photon & (table["energy"] < MOST_PHOTON)]
    if not len(michels) or not len(photons):
        return np.zeros(len(michels))
    distance, nearest = cKDTree(_apart(michels)).query(_apart(photons), distance_upper_bound=NEAR)
    near = np.isfinite(distance)
    return np.bincount(nearest[near], photons["energy"][near], len(michels))


def _apart(table: np.ndarray) -> np.ndarray:
    """Return the centroids of particles, cm, those of different events far from each other."""
    return vectors_of(table, "centroid") + table["event"][:, None] * [1e6, 0, 0]


LEAST = 15.0
"""Energies below are not fitted, MeV: short electrons are lost on the track."""


def spectrum(energies: np.ndarray, end_point: float, loss: float) -> np.ndarray:
    """Return the density of energies above `LEAST`.

    The spectrum of muon decay, x^2 (3 - 2 x), is smeared by a Gaussian of `RESOLUTION` and by a loss that is
    exponential with the mean given: what the electron radiates.

    Args:
        energies: (N,) MeV.
        end_point: greatest energy, MeV.
        loss: mean energy that is lost, MeV.
    """
    x = _GRID / end_point
    sharp = np.where(x < 1, x**2 * (3 - 2 * x), 0.0)
    step = _GRID[1] - _GRID[0]
    gauss = np.exp(-0.5 * (np.arange(-4 * RESOLUTION, 4 * RESOLUTION, step) / RESOLUTION) ** 2)
    tail = np.exp(-np.arange(0, 8 * loss + step, step) / loss)[::-1]
    smooth = fftconvolve(sharp, gauss / gauss.sum(), mode="same")
    smooth = np.maximum(fftconvolve(smooth, tail / tail.sum())[len(tail) - 1 :], 0)
    norm = np.trapezoid(np.where(_GRID >= LEAST, smooth, 0.0), _GRID)
    return np.interp(energies, _GRID, smooth) / norm


def fit_end_point(energies: np.ndarray) -> Fit:
    """Fit end point and mean loss, MeV."""

    def loss(values: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        end_point, lost = parameters
        if not (30 < end_point < 70 and 0.05 < lost < 60):
            return np.full(len(values), 1e6)
        return -np.log(np.maximum(spectrum(values, end_point, lost), 1e-6))

    found = fit_density(energies, loss, np.array([50.0, 3.0]))
    if found.parameters[1] > MOST_LOST:
        nothing = np.full(2, np.nan)
        return Fit(nothing, nothing)
    return found


def _number(name: str, fit: Fit, place: int, count: int, expected: float) -> Number:
    return Number(name, float(fit.parameters[place]), float(fit.errors[place]), "MeV", count, expected)
