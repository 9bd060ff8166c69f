"""dE/dx against residual range, with the curves of the range tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mlreco.analysis.plots import GREY, ORANGE, density
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample, places
from mlreco.analysis.statistics import Number, median
from mlreco.particles.csda import stopping_power
from mlreco.particles.kinds import Kind

NAME = "dedx"
HELP = "dE/dx of stopping tracks against residual range, with the curves of muon and proton"
SURE = 0.9
PLATEAU = (50.0, 300.0)
"""Residual ranges of the plateau, cm: there a muon loses 2.11 to 2.13 MeV/cm on average."""


def analyse(sample: Sample) -> Result:
    """Compare steps of contained, stopping tracks with the mean energy loss at their residual range."""
    table = sample.particles[sample.owners]
    steps = sample.dedx
    inner = (steps["distance"] > 1) & (steps["residual_range"] > 1) & np.isfinite(steps["dedx"])
    chosen = inner & (table["stops"] > SURE) & (table["contained"] == 1) & (table["sense_confidence"] > SURE)
    proton = table["score_proton"] > SURE
    light = table["score_proton"] < 1 - SURE
    numbers = []
    for name, mask, low, high in (("muon", light, 2, 30), ("proton", proton, 2, 30)):
        left = steps["residual_range"]
        own = chosen & mask & (left > low) & (left < high)
        ratio = steps["dedx"][own] / stopping_power(left[own], name)
        tracks, where = sample.owners[own], f"{low} to {high} cm before it stops"
        numbers.append(_mean(f"dE/dx over that of a {name}, mean, {where}", ratio, tracks, "", 1.0))
        middle = median(f"dE/dx over that of a {name}, median, {where}", ratio)
        numbers.append(_of_tracks(middle, (ratio > middle.value) - 0.5, tracks))
    left = steps["residual_range"]
    plateau = chosen & light & (left > PLATEAU[0]) & (left < PLATEAU[1])
    expected = float(np.mean(stopping_power(left[plateau], "muon"))) if plateau.any() else np.nan
    tracks = sample.owners[plateau]
    numbers.append(_mean("dE/dx of muons on the plateau, mean", steps["dedx"][plateau], tracks, "MeV/cm", np.nan))
    with_deltas = steps["dedx"][plateau] + _deltas_per_length(sample)[tracks]
    name = "dE/dx of muons on the plateau with their delta electrons"
    numbers.append(_mean(name, with_deltas, tracks, "MeV/cm", expected))
    columns = {
        "event": steps["event"][chosen],
        "particle": steps["particle"][chosen],
        "residual_range": left[chosen],
        "dedx": steps["dedx"][chosen],
        "score_proton": table["score_proton"][chosen],
    }

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        density(axes, left[chosen], steps["dedx"][chosen], (np.linspace(0, 60, 121), np.linspace(0, 20, 101)))
        ranges = np.linspace(0.3, 60, 400)
        for particle, colour in (("muon", ORANGE), ("proton", "#c22f2f"), ("pion", GREY)):
            axes.plot(ranges, stopping_power(ranges, particle), color=colour, label=f"{particle}, mean (tables)")
        axes.set(xlabel="residual range (cm)", ylabel="dE/dx (MeV/cm)", ylim=(0, 20))
        axes.legend(frameon=False, loc="upper right")

    note = (
        "Contained tracks that stop with a probability above 0.9. The curves are means of all the energy that is lost. "
        "Not in the steps are voxels below the threshold of the image (0.06 MeV/cm on the plateau of simulated muons), "
        "energy farther than 1.5 cm from the track, and delta electrons that are instances of their own."
    )
    return Result("dE/dx against residual range", numbers, columns, draw, note)


def _deltas_per_length(sample: Sample) -> np.ndarray:
    """Return the energy of the delta electrons of each particle over its length, MeV/cm."""
    deltas = sample.particles[sample.kinds == Kind.DELTA]
    parents = places(sample.particles, deltas["event"], deltas["parent"])
    known = parents >= 0
    energy = np.bincount(parents[known], deltas["energy"][known], len(sample.particles))
    return energy / np.where(sample.particles["length"] > 0, sample.particles["length"], np.nan)


def _mean(name: str, values: np.ndarray, tracks: np.ndarray, unit: str, expected: float) -> Number:
    if len(values) < 3:
        return Number(name, np.nan, np.nan, unit, len(values), expected)
    mean = float(np.mean(values))
    number = Number(name, mean, float(np.std(values) / np.sqrt(len(values))), unit, len(values), expected)
    return _of_tracks(number, values - mean, tracks)


def _of_tracks(number: Number, scores: np.ndarray, tracks: np.ndarray) -> Number:
    """Return a number whose error takes whole tracks for independent, not their steps.

    Args:
        number: with the error of independent steps.
        scores: (N,) what each step adds to the number, less what it adds on average.
        tracks: (N,) track of each.
    """
    alone = float((scores**2).sum())
    together = float((np.bincount(tracks, scores) ** 2).sum()) if len(scores) else 0.0
    return replace(number, error=number.error * np.sqrt(together / alone)) if alone > 0 else number
