"""Spectrum of Michel electrons and its end point."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import fftconvolve

from mlreco.analysis.plots import BLUE, GREY, histogram
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample
from mlreco.analysis.statistics import Fit, Number, fit_density, median
from mlreco.particles.kinds import Kind, kinds_of
from mlreco.particles.liquid_argon import MASSES

NAME = "michel"
HELP = "energy spectrum of Michel electrons with its end point fitted"
ELECTRON = MASSES["electron"]
END_POINT = 52.83
"""Greatest energy of the electron, MeV: (m_mu^2 + m_e^2) / 2 m_mu."""

LEAST_LOST, MOST_LOST = 0.05, 15.0
"""Bounds of the mean loss, MeV: above, the spectrum is not that of whole electrons, and there is no end point."""

RESOLUTION = 1.5
"""Resolution of the energy of what is seen, MeV."""

SHARP = 0.4
"""That of true energies, MeV: what keeps their likelihood smooth. A greater one would move the edge."""

OTHERS, MOST_OTHERS = 0.01, 0.5
"""Part of the electrons that has any energy: those of muons that still moved, and what is no Michel electron or more
than one. It is fitted, from the first up to the second."""

_GRID = np.linspace(0, 80, 1601)


def analyse(sample: Sample) -> Result:
    """Fit the spectrum of a muon's decay, smeared, to the energies of Michel electrons attached to a track."""
    rows = np.flatnonzero(sample.kinds == Kind.MICHEL)
    table = sample.particles[rows]
    column = "expected_energy" if "expected_energy" in (table.dtype.names or ()) else "energy"
    charge = table[column].astype(np.float64)
    whole = (table["parent"] >= 0) & (table["contained"] != 0) & (charge > 0)
    rows, table, energies = rows[whole], table[whole], charge[whole]
    fit = fit_end_point(energies)
    numbers = [
        _number("end point of the energy seen", fit, 0, len(energies), np.nan),
        _number("mean energy that is lost", fit, 1, len(energies), np.nan),
    ]
    true = np.empty(0)
    if sample.has_truth and sample.truth is not None:
        kinds = kinds_of(sample.truth["semantic"], sample.scheme)
        chosen = (kinds == Kind.MICHEL) & (np.abs(sample.truth["parent_pdg"]) == 13)
        true = sample.truth["kinetic_energy"][chosen].astype(np.float64) + ELECTRON
        true = true[np.isfinite(true)]
        numbers.append(_number("end point in truth", fit_end_point(true, SHARP), 0, len(true), END_POINT))
        seen = energies / (sample.true_of(rows, "kinetic_energy") + ELECTRON)
        numbers.append(median("energy seen over true energy, median", seen))
    columns = {"event": table["event"], "particle": table["particle"], "parent": table["parent"]}
    columns["energy"] = energies

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        edges = np.linspace(0, 70, 36)
        histogram(axes, energies, edges, "energy (MeV)", BLUE, "seen")
        if len(true):
            axes.hist(true, edges, histtype="step", color=GREY, label="true energy")
        if np.isfinite(fit.parameters).all():
            curve = density(_GRID, *fit.parameters) * _in_window(energies).sum() * (edges[1] - edges[0])
            axes.plot(_GRID[_GRID > LEAST], curve[_GRID > LEAST], color="black", lw=1, label="fit")
        axes.set_xlim(0, 70)
        axes.legend(frameon=False, loc="upper left")

    note = (
        "Contained Michel electrons at the end of a track. The energy seen is the expected one: voxels where electron "
        "and track meet count for both by their probabilities. Where a chain does not share them, and with voxels of "
        "other neighbours, the end point moves up as the ratio of energies does. What the electrons radiate is in "
        "other instances where images are labelled so (thin events): it counts as lost, and where that is too much "
        "there is no end point. In truth all of them count, also those that are not found."
    )
    return Result("Michel electrons", numbers, columns, draw, note)


LEAST = 15.0
"""Energies below are not fitted, MeV: short electrons are lost on the track."""


def spectrum(energies: np.ndarray, end_point: float, loss: float, resolution: float = RESOLUTION) -> np.ndarray:
    """Return the density of energies above `LEAST`.

    The spectrum of muon decay, x^2 (3 - 2 x), is smeared by a Gaussian and by a loss that is
    exponential with the mean given: what the electron radiates.

    Args:
        energies: (N,) MeV.
        end_point: greatest energy, MeV.
        loss: mean energy that is lost, MeV.
        resolution: width of the Gaussian, MeV.
    """
    x = _GRID / end_point
    sharp = np.where(x < 1, x**2 * (3 - 2 * x), 0.0)
    step = _GRID[1] - _GRID[0]
    gauss = np.exp(-0.5 * (np.arange(-4 * resolution, 4 * resolution, step) / resolution) ** 2)
    tail = np.exp(-np.arange(0, 8 * loss + step, step) / loss)[::-1]
    smooth = fftconvolve(sharp, gauss / gauss.sum(), mode="same")
    smooth = np.maximum(fftconvolve(smooth, tail / tail.sum())[len(tail) - 1 :], 0)
    norm = np.trapezoid(np.where(_GRID >= LEAST, smooth, 0.0), _GRID)
    return np.interp(energies, _GRID, smooth) / norm


def density(
    energies: np.ndarray, end_point: float, loss: float, others: float, resolution: float = RESOLUTION
) -> np.ndarray:
    """Return the density of energies of which a part, ``others``, has any value from `LEAST` to the end of the grid."""
    return (1 - others) * spectrum(energies, end_point, loss, resolution) + others / (_GRID[-1] - LEAST)


def _in_window(energies: np.ndarray) -> np.ndarray:
    return (energies > LEAST) & (energies < _GRID[-1])


def fit_end_point(energies: np.ndarray, resolution: float = RESOLUTION) -> Fit:
    """Fit end point and mean loss, MeV, and the part of others, to energies of a resolution.

    Where a fit ends at the least part of others, or the least loss as well, these are held there: their errors are NaN.
    """
    least, most = np.array([30.0, LEAST_LOST, OTHERS]), np.array([70.0, 30.0, MOST_OTHERS])

    def loss(values: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        if not ((parameters >= least[: len(parameters)]) & (parameters < most[: len(parameters)])).all():
            return np.full(len(values), 1e6)
        end_point, lost, others = np.append(parameters, least[len(parameters) :])
        return -np.log(density(values, end_point, lost, others, resolution))

    energies, start, nothing = energies[_in_window(energies)], np.array([50.0, 3.0, 0.05]), np.full(3, np.nan)
    for free in (3, 2, 1):
        found = fit_density(energies, loss, start[:free])
        if free > 1 and found.parameters[1] > MOST_LOST:
            return Fit(nothing, nothing)
        if np.isfinite(found.errors).all():
            break
    return Fit(np.append(found.parameters, least[free:]), np.append(found.errors, nothing[free:]))


def _number(name: str, fit: Fit, place: int, count: int, expected: float) -> Number:
    return Number(name, float(fit.parameters[place]), float(fit.errors[place]), "MeV", count, expected)
