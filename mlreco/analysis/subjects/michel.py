"""Spectrum of Michel electrons and its end point."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlreco.analysis.michel_spectrum import LEAST, MOST, SHARP, density, fit_end_point, in_window
from mlreco.analysis.plots import BLUE, GREY, histogram
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample
from mlreco.analysis.statistics import Fit, Number, median
from mlreco.particles.kinds import Kind, kinds_of
from mlreco.particles.liquid_argon import MASSES

NAME = "michel"
HELP = "energy spectrum of Michel electrons with its end point fitted"
ELECTRON = MASSES["electron"]
END_POINT = 52.83
"""Greatest energy of the electron, MeV: (m_mu^2 + m_e^2) / 2 m_mu."""

FREE = -13
"""Code of the muon whose decay has the spectrum: negative ones decay on their orbits around nuclei, which smears it."""


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
        _end_point("end point of the energy seen", fit, len(energies)),
        Number("part that loses energy", float(fit.parameters[1]), float(fit.errors[1]), "", len(energies)),
    ]
    true = np.empty(0)
    if sample.has_truth and sample.truth is not None:
        kinds = kinds_of(sample.truth["semantic"], sample.scheme)
        chosen = (kinds == Kind.MICHEL) & (sample.truth["parent_pdg"] == FREE)
        true = sample.truth["kinetic_energy"][chosen].astype(np.float64) + ELECTRON
        true = true[np.isfinite(true)]
        numbers.append(
            _end_point("end point in truth, of positive muons", fit_end_point(true, SHARP), len(true), END_POINT)
        )
        seen = energies / (sample.true_of(rows, "kinetic_energy") + ELECTRON)
        numbers.append(median("energy seen over true energy, median", seen))
    columns = {"event": table["event"], "particle": table["particle"], "parent": table["parent"]}
    columns["energy"] = energies

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        edges = np.linspace(0, 70, 36)
        histogram(axes, energies, edges, "energy (MeV)", BLUE, "seen")
        if len(true):
            axes.hist(true, edges, histtype="step", color=GREY, label="true energy, of positive muons")
        if np.isfinite(fit.parameters).all():
            fitted = np.linspace(LEAST, MOST, 651)
            curve = density(fitted, *fit.parameters) * in_window(energies).sum() * (edges[1] - edges[0])
            axes.plot(fitted, curve, color="black", lw=1, label="fit")
        axes.set_xlim(0, 70)
        axes.legend(frameon=False, loc="upper left")

    note = (
        "Contained Michel electrons at the end of a track. The energy seen is the expected one: voxels where electron "
        "and track meet count for both by their probabilities. Where a chain does not share them, and with voxels of "
        "other neighbours, the end point moves up as the ratio of energies does. What the electrons radiate is in "
        "other instances where images are labelled so (thin events): it counts as lost, and where that is too much "
        "there is no end point. A part of the electrons loses energy, with a mean that simulation gives. In truth the "
        "electrons of positive muons count, also those that are not found; negative ones decay on their orbits around "
        "argon nuclei, with a spectrum that has no edge."
    )
    return Result("Michel electrons", numbers, columns, draw, note)


def _end_point(name: str, fit: Fit, count: int, expected: float = np.nan) -> Number:
    return Number(name, float(fit.parameters[0]), float(fit.errors[0]), "MeV", count, expected)
