"""Energy and angular resolution of showers, and electrons against photons."""

from __future__ import annotations

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


def analyse(sample: Sample) -> Result:
    """Compare matched primary showers with the truth.

    Raises:
        UserError: the file has no truth.
    """
    rows = sample.showers()
    true = sample.true_of(rows, "kinetic_energy")
    primary = sample.true_of(rows, "primary") == 1
    inside = sample.particles["wall_distance"][rows] > FROM_WALL
    rows = rows[primary & inside & (true > EDGES[0]) & np.isin(np.abs(sample.true_of(rows, "pdg")), (11, 22))]
    table, true = sample.particles[rows], sample.true_of(rows, "kinetic_energy")
    ratio = table["kinetic_energy"] / true
    angle = angle_between(sample.vectors(rows, "direction"), sample.true_vectors(rows, "direction"))
    photon = np.abs(sample.true_of(rows, "pdg")) == 22
    first = np.linalg.norm(sample.vectors(rows, "start") - sample.true_vectors(rows, "start"), axis=1)
    place = np.digitize(true, EDGES) - 1
    bins = range(len(EDGES) - 1)
    centre = np.array([np.mean(true[place == b]) if (place == b).any() else np.nan for b in bins])
    widths = [
        width("", ratio[place == b] / np.median(ratio[place == b]) if (place == b).any() else ratio[:0]) for b in bins
    ]
    angles = [quantile("", angle[place == b], 0.68) for b in bins]
    constant, stochastic, fit = _fit(centre, widths)
    numbers = [
        median("energy over true energy, median", ratio, "", 1.0),
        Number("energy resolution a of a + b / sqrt(E / GeV)", *constant, "%", len(rows)),
        Number("energy resolution b", *stochastic, "%", len(rows)),
        quantile("angle times sqrt(E / GeV), 68 %", angle * np.sqrt(true / 1000), 0.68, "deg"),
        quantile("distance of start, 68 %", first, 0.68, "cm"),
        fraction("photons called photon", table["score_photon"][photon] > 0.5),
        fraction("electrons not called photon", ~(table["score_photon"][~photon] > 0.5)),
    ]
    columns = {
        "event": table["event"],
        "particle": table["particle"],
        "true_pdg": np.where(photon, 22, 11),
        "true_energy": true,
        "energy": table["energy"],
        "kinetic_energy": table["kinetic_energy"],
        "angle": angle,
        "start_distance": first,
        "dedx_start": table["dedx_start"],
        "score_photon": table["score_photon"],
    }

    def draw(figure: Any) -> None:
        energy, direction, start = figure.subplots(1, 3)
        curve = np.linspace(EDGES[0], EDGES[-1], 200)
        values, errors = (np.array([getattr(one, key) for one in widths]) for key in ("value", "error"))
        points(energy, centre, 100 * values, 100 * errors, BLUE, "68 % width")
        if np.isfinite(fit).all():
            energy.plot(curve, fit[0] + fit[1] / np.sqrt(curve / 1000), color=BLUE, lw=1, label="a + b / sqrt(E)")
        energy.plot(curve, 4.1 + 1.4 / np.sqrt(curve / 1000), color="#999999", lw=1, ls="--", label="GrapPA")
        energy.set(xlabel="true energy (MeV)", ylabel="energy resolution (%)", ylim=(0, 40))
        values, errors = (np.array([getattr(one, key) for one in angles]) for key in ("value", "error"))
        points(direction, centre, values, errors, BLUE, "68 %")
        direction.plot(curve, 2.1 / np.sqrt(curve / 1000), color="#999999", lw=1, ls="--", label="GrapPA")
        direction.set(xlabel="true energy (MeV)", ylabel="angle (degrees)", ylim=(0, 30))
        edges = np.linspace(0, 9, 46)
        histogram(start, table["dedx_start"][~photon], edges, "dE/dx at start (MeV/cm)", BLUE, "electrons")
        histogram(start, table["dedx_start"][photon], edges, "dE/dx at start (MeV/cm)", ORANGE, "photons")
        for axes in (energy, direction, start):
            axes.legend(frameon=False)

    note = (
        "Matched primary electrons and photons, all voxels at least 5 cm from the walls. GrapPA: the resolutions "
        "quoted in arXiv:2007.01335 for another simulation."
    )
    return Result("Showers against the truth", numbers, columns, draw, note)


def _fit(energy: np.ndarray, widths: list[Number]) -> tuple[tuple[float, float], tuple[float, float], np.ndarray]:
    """Return a and b of a + b / sqrt(E / GeV) in per cent with their errors, and both as an array."""
    value, error = (100 * np.array([getattr(one, key) for one in widths]) for key in ("value", "error"))
    known = np.isfinite(energy) & np.isfinite(value) & (error > 0)
    nothing = (np.nan, np.nan)
    if known.sum() < 3:
        return nothing, nothing, np.array(nothing)

    def curve(e: np.ndarray, a: float, b: float) -> np.ndarray:
        return a + b / np.sqrt(e / 1000)

    best, covariance = curve_fit(
        curve, energy[known], value[known], (3.0, 2.0), error[known], absolute_sigma=True, bounds=(0, np.inf)
    )
    errors = np.sqrt(np.diag(covariance))
    return (float(best[0]), float(errors[0])), (float(best[1]), float(errors[1])), best
