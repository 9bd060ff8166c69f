"""How many true tracks and showers are found, against their energy."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlreco.analysis.plots import BLUE, ORANGE, points
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample
from mlreco.analysis.statistics import fraction, interval
from mlreco.errors import UserError

NAME = "efficiency"
HELP = "part of the true tracks and showers that are found, against energy"
LEAST_VOXELS = 10
EDGES = np.array([0.0, 5, 10, 20, 40, 70, 110, 170, 260, 400, 1000])
"""Bins of energy in the image, MeV."""


def analyse(sample: Sample) -> Result:
    """Count true particles that share more than half with a reconstructed one.

    Raises:
        UserError: the file has no labels.
    """
    if sample.truth is None or sample.found is None:
        raise UserError(f"{sample.path}: has no true particles")
    truth = sample.truth[sample.truth["voxels"] >= LEAST_VOXELS]
    found = sample.found[sample.truth["voxels"] >= LEAST_VOXELS] >= 0
    names = np.array([*sample.scheme.classes, ""])
    known = (truth["semantic"] >= 0) & (truth["semantic"] < len(sample.scheme))
    name = names[np.where(known, truth["semantic"], len(sample.scheme))]
    track, shower = np.isin(name, ("HIP", "MIP", "Track")), name == "Shower"
    numbers = [fraction("true tracks found", found[track]), fraction("true showers found", found[shower])]
    pure = sample.matched[sample.particles["voxels"] >= LEAST_VOXELS] >= 0
    numbers.append(fraction("reconstructed particles that are a true one", pure))
    columns = {
        "event": truth["event"],
        "particle": truth["particle"],
        "class": name,
        "pdg": truth["pdg"],
        "energy": truth["energy"],
        "voxels": truth["voxels"],
        "found": found.astype(np.int8),
    }
    place = np.digitize(truth["energy"], EDGES) - 1
    centre = (EDGES[1:] + EDGES[:-1]) / 2

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for mask, colour, label in ((track, BLUE, "tracks"), (shower, ORANGE, "showers")):
            bins = [found[mask & (place == b)] for b in range(len(centre))]
            values = np.array([fraction("", one).value for one in bins])
            low, high = np.array([interval(one) for one in bins]).T
            points(axes, centre, values, np.stack([values - low, high - values]), colour, label)
        axes.set(xscale="log", xlim=(1, EDGES[-1]), ylim=(0, 1.05))  # also without a particle in any bin
        axes.set(xlabel="energy in the image (MeV)", ylabel="part that is found")
        axes.legend(frameon=False, loc="lower right")

    note = "Found: a reconstructed particle shares more than half, intersection over union. Ten voxels at least."
    return Result("Particles that are found", numbers, columns, draw, note)
