"""Kinetic energy from range against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlreco.analysis.plots import BLUE, GREEN, ORANGE
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample
from mlreco.analysis.statistics import median, width
from mlreco.particles.csda import kinetic_energy

NAME = "range_energy"
HELP = "kinetic energy of stopping tracks from their range, and of all from their charge, against the truth"
PARTICLES = {"muon": (13, BLUE), "pion": (211, GREEN), "proton": (2212, ORANGE)}


def analyse(sample: Sample) -> Result:
    """Compare energies of contained, stopping, matched tracks.

    Raises:
        UserError: the file has no truth.
    """
    rows = sample.tracks()
    table = sample.particles[rows]
    keep = (table["stops"] > 0.9) & (table["contained"] == 1) & (table["primary"] == 1) & (table["length"] > 2)
    rows = rows[keep & np.isfinite(sample.true_of(rows, "kinetic_energy"))]
    table, truth = sample.particles[rows], sample.true_of(rows, "kinetic_energy")
    pdg, path = np.abs(sample.true_of(rows, "pdg")), sample.true_of(rows, "length")
    by_range = np.full(len(rows), np.nan)
    numbers = []
    for name, (code, _) in PARTICLES.items():
        own = pdg == code
        by_range[own] = table[f"range_energy_{name}"][own]
        ratio = by_range[own] / truth[own] - 1
        tables = np.median(kinetic_energy(path[own], name) / truth[own] - 1) if own.any() else np.nan
        numbers.append(median(f"{name}: range energy over true energy - 1, median", ratio, "", float(tables)))
        numbers.append(width(f"{name}: range energy over true energy - 1, 68 % width", ratio))
    charge = table["energy"] / truth - 1
    heavy = pdg == 2212
    numbers.append(median("proton: energy of its voxels over true energy - 1, median", charge[heavy], "", 0.0))
    numbers.append(width("proton: energy of its voxels over true energy - 1, 68 % width", charge[heavy]))
    columns = {
        "event": table["event"],
        "particle": table["particle"],
        "true_pdg": pdg,
        "true_energy": truth,
        "range_energy": by_range,
        "voxel_energy": table["energy"],
    }

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        for name, (code, colour) in PARTICLES.items():
            own = pdg == code
            left.plot(truth[own], by_range[own], ".", color=colour, ms=4, label=name)
            values = np.clip(by_range[own] / truth[own] - 1, -0.3, 0.3)
            right.hist(values, np.linspace(-0.3, 0.3, 61), histtype="step", color=colour, label=name)
        limit = float(np.nanpercentile(truth, 99)) if len(truth) else 1.0
        left.plot([0, limit], [0, limit], color="#999999", lw=1)
        left.set(xlabel="true kinetic energy (MeV)", ylabel="kinetic energy from range (MeV)")
        right.legend(frameon=False, loc="upper left")
        right.set(xlabel="range energy / true energy - 1", ylabel="entries")
        left.legend(frameon=False, loc="upper left")

    note = (
        "Contained primary tracks that stop with a probability above 0.9, the range table of their true kind. Expected "
        "is what that table gives for the true path lengths: Geant4's ranges are others by some 0.3 %. Pions "
        "and protons that interact before they stop, and still look as if they did, are the tail at low energies. "
        "What is beyond the axes is in their outermost bins."
    )
    return Result("Kinetic energy from range", numbers, columns, draw, note)
