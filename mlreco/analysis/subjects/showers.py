"""Energy and angular resolution of showers, and electrons against photons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import curve_fit

from mlreco.analysis.plots import BLUE, ORANGE, histogram, points
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample, angle_between
from mlreco.analysis.statistics import Number, fraction, median, quantile, width

NAME = "showers"
HELP = "energy and angular resolution of showers against energy, and electrons against photons"
EDGES = np.array([35.0, 60, 100, 160, 250, 400, 650, 1000])
"""Bins of true energy, MeV."""

FROM_WALL = 5.0
"""Showers with a voxel nearer to the wall are left out, cm: they may leak."""


@dataclass(frozen=True)
class _Showers:
    """Matched primary showers: their rows of the table, true energy (MeV), angle (degrees), distance of start (cm)."""

    table: np.ndarray
    true: np.ndarray
    angle: np.ndarray
    first: np.ndarray
    photon: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Energy over true energy."""
        return self.table["kinetic_energy"] / self.true

    @property
    def right(self) -> np.ndarray:
        """Which ones move in the sense in which they do in truth."""
        return self.angle < 90

    @property
    def pull(self) -> np.ndarray:
        """Angle over its uncertainty."""
        return self.angle / np.degrees(self.table["direction_error"])


@dataclass(frozen=True)
class _Binned:
    """Mean energy of bins (MeV), relative width and angle in each, and the fit of the widths (a and b, per cent)."""

    centre: np.ndarray
    widths: list[Number]
    angles: list[Number]
    constant: tuple[float, float]
    stochastic: tuple[float, float]


def analyse(sample: Sample) -> Result:
    """Compare matched primary showers with the truth.

    Raises:
        UserError: the file has no truth.
    """
    showers = _matched(sample)
    binned = _in_bins(showers)
    called, photon = showers.table["score_photon"] > 0.5, showers.photon
    numbers = [
        median("energy over true energy, median", showers.ratio, "", 1.0),
        Number("energy resolution a of a + b / sqrt(E / GeV)", *binned.constant, "%", len(showers.true)),
        Number("energy resolution b", *binned.stochastic, "%", len(showers.true)),
        quantile("angle times sqrt(E / GeV), 68 %", showers.angle * np.sqrt(showers.true / 1000), 0.68, "deg"),
        fraction("sense right", showers.right[np.isfinite(showers.angle)]),
        quantile("angle over its uncertainty, 68 %", showers.pull[showers.right], 0.68, "", 1.0),
        quantile("distance of start, 68 %", showers.first, 0.68, "cm"),
        fraction("photons called photon", called[photon]),
        fraction("electrons not called photon", ~called[~photon]),
    ]
    columns = {
        "event": showers.table["event"],
        "particle": showers.table["particle"],
        "true_pdg": np.where(photon, 22, 11),
        "true_energy": showers.true,
        "energy": showers.table["energy"],
        "kinetic_energy": showers.table["kinetic_energy"],
        "angle": showers.angle,
        "start_distance": showers.first,
        "dedx_start": showers.table["dedx_start"],
        "score_photon": showers.table["score_photon"],
    }
    note = (
        "Matched primary electrons and photons, all voxels at least 5 cm from the walls. GrapPA: the resolutions "
        "quoted in arXiv:2007.01335 for another simulation. The uncertainty of the angle is that of showers in the "
        "right sense; how sure this is the column sense_confidence tells."
    )
    return Result("Showers against the truth", numbers, columns, partial(_draw, showers, binned), note)


def _matched(sample: Sample) -> _Showers:
    rows = sample.showers()
    true = sample.true_of(rows, "kinetic_energy")
    primary = sample.true_of(rows, "primary") == 1
    inside = sample.particles["wall_distance"][rows] > FROM_WALL
    rows = rows[primary & inside & (true > EDGES[0]) & np.isin(np.abs(sample.true_of(rows, "pdg")), (11, 22))]
    angle = angle_between(sample.vectors(rows, "direction"), sample.true_vectors(rows, "direction"))
    first = np.linalg.norm(sample.vectors(rows, "start") - sample.true_vectors(rows, "start"), axis=1)
    photon = np.abs(sample.true_of(rows, "pdg")) == 22
    return _Showers(sample.particles[rows], sample.true_of(rows, "kinetic_energy"), angle, first, photon)


def _in_bins(showers: _Showers) -> _Binned:
    place = np.digitize(showers.true, EDGES) - 1
    bins = [np.flatnonzero(place == b) for b in range(len(EDGES) - 1)]
    centre = np.array([np.mean(showers.true[own]) if len(own) else np.nan for own in bins])
    ratios = [showers.ratio[own] for own in bins]
    widths = [width("", ratio / np.median(ratio) if len(ratio) else ratio) for ratio in ratios]
    angles = [quantile("", showers.angle[own], 0.68) for own in bins]
    return _Binned(centre, widths, angles, *_fit(centre, widths))


def _draw(showers: _Showers, binned: _Binned, figure: Any) -> None:
    energy, direction, start = figure.subplots(1, 3)
    curve, centre = np.linspace(EDGES[0], EDGES[-1], 200), binned.centre
    values, errors = (np.array([getattr(one, key) for one in binned.widths]) for key in ("value", "error"))
    points(energy, centre, 100 * values, 100 * errors, BLUE, "68 % width")
    a, b = binned.constant[0], binned.stochastic[0]
    if np.isfinite(a):
        energy.plot(curve, a + b / np.sqrt(curve / 1000), color=BLUE, lw=1, label="a + b / sqrt(E)")
    energy.plot(curve, 4.1 + 1.4 / np.sqrt(curve / 1000), color="#999999", lw=1, ls="--", label="GrapPA")
    energy.set(xlabel="true energy (MeV)", ylabel="energy resolution (%)", ylim=(0, 40))
    values, errors = (np.array([getattr(one, key) for one in binned.angles]) for key in ("value", "error"))
    points(direction, centre, values, errors, BLUE, "68 %")
    direction.plot(curve, 2.1 / np.sqrt(curve / 1000), color="#999999", lw=1, ls="--", label="GrapPA")
    direction.set(xlabel="true energy (MeV)", ylabel="angle (degrees)", ylim=(0, 30))
    edges, dedx = np.linspace(0, 9, 46), showers.table["dedx_start"]
    histogram(start, dedx[~showers.photon], edges, "dE/dx at start (MeV/cm)", BLUE, "electrons")
    histogram(start, dedx[showers.photon], edges, "dE/dx at start (MeV/cm)", ORANGE, "photons")
    for axes in (energy, direction, start):
        axes.legend(frameon=False, loc="upper right")


def _fit(energy: np.ndarray, widths: list[Number]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return a and b of a + b / sqrt(E / GeV) in per cent with their errors."""
    value, error = (100 * np.array([getattr(one, key) for one in widths]) for key in ("value", "error"))
    known = np.isfinite(energy) & np.isfinite(value) & (error > 0)
    nothing = (np.nan, np.nan)
    if known.sum() < 3:
        return nothing, nothing

    def curve(e: np.ndarray, a: float, b: float) -> np.ndarray:
        return a + b / np.sqrt(e / 1000)

    best, covariance = curve_fit(
        curve, energy[known], value[known], (3.0, 2.0), error[known], absolute_sigma=True, bounds=(0, np.inf)
    )
    errors, best = np.sqrt(np.diag(covariance)), np.where(best > 1e-3, best, 0.0)
    return (float(best[0]), float(errors[0])), (float(best[1]), float(errors[1]))
