"""Mass of pairs of photons."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlreco.analysis.plots import BLUE, histogram
from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample
from mlreco.analysis.statistics import Fit, Number, fit_density_within
from mlreco.particles.columns import vectors_of

NAME = "pi0"
HELP = "mass of photon pairs from one vertex, with its peak fitted"
MASS = 134.977
LEAST = 20.0
"""Showers below this energy, MeV, make no pair."""

WINDOW = (50.0, 250.0)
"""Masses that are fitted, MeV."""


def analyse(sample: Sample) -> Result:
    """Combine the two brightest primary showers of each interaction."""
    rows = sample.showers()
    table = sample.particles[rows]
    keep = (table["primary"] == 1) & (table["energy"] > LEAST) & ~(table["score_photon"] < 0.2)
    rows = rows[keep & (table["contained"] != 0)]
    pairs = _brightest_pairs(sample.particles, rows)
    one, other = (sample.particles[side] for side in pairs.T)
    directions = _from_vertex(sample, pairs[:, 0]), _from_vertex(sample, pairs[:, 1])
    cosine = (directions[0] * directions[1]).sum(axis=1)
    mass = np.sqrt(np.maximum(2.0 * one["kinetic_energy"] * other["kinetic_energy"] * (1 - cosine), 0))
    mass = np.where(np.isfinite(cosine), mass, np.nan)
    known = mass[(mass > WINDOW[0]) & (mass < WINDOW[1])]
    fit = fit_peak(known)
    numbers = [
        Number("mass of photon pairs, peak", float(fit.parameters[0]), float(fit.errors[0]), "MeV", len(known), MASS),
        Number("its width", float(fit.parameters[1]), float(fit.errors[1]), "MeV", len(known)),
        Number(
            "part of the pairs in the peak", float(fit.parameters[2]), _at_least(fit.errors[2], known), "", len(known)
        ),
    ]
    columns = {
        "event": one["event"],
        "first": one["particle"],
        "second": other["particle"],
        "first_energy": one["kinetic_energy"],
        "second_energy": other["kinetic_energy"],
        "opening_angle": np.degrees(np.arccos(np.clip(cosine, -1, 1))),
        "mass": mass,
    }

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        edges = np.linspace(0, 300, 31)
        histogram(axes, mass, edges, "mass of the pair (MeV)", BLUE, "pairs")
        if np.isfinite(fit.parameters).all():
            grid = np.linspace(*WINDOW, 400)
            axes.plot(
                grid, peak(grid, fit.parameters) * len(known) * (edges[1] - edges[0]), color="black", lw=1, label="fit"
            )
        axes.axvline(MASS, color="#999999", lw=1, ls="--", label="mass of the pi0")
        axes.legend(frameon=False, loc="upper right")

    note = (
        "The two brightest contained showers of each interaction that come from its vertex and are not called "
        "electron. Photons that leave an image of 1.5 m take some energy with them: the peak is "
        "10 % low there, and right in 3 m."
    )
    return Result("Pairs of photons", numbers, columns, draw, note)


def _at_least(error: float, known: np.ndarray) -> float:
    """Return the error of a part of some pairs; where the likelihood has no second derivative, that of one pair."""
    return float(np.fmax(error, 1 / max(len(known), 1)))


def _brightest_pairs(particles: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return (n, 2) rows: the two showers of greatest energy of each interaction that has two."""
    table = particles[rows]
    order = rows[np.lexsort((-table["energy"], table["interaction"], table["event"]))]
    table = particles[order]
    same = (table["event"][1:] == table["event"][:-1]) & (table["interaction"][1:] == table["interaction"][:-1])
    first = np.append(True, ~same)[: len(order)]
    heads = np.flatnonzero(first[:-1] & same) if len(order) > 1 else np.empty(0, np.int64)
    return np.stack([order[heads], order[heads + 1]], axis=1).reshape(-1, 2)


def _from_vertex(sample: Sample, rows: np.ndarray) -> np.ndarray:
    """Return the directions of showers: from the vertex to the start where these are apart, else that of the shower."""
    table, interactions = sample.particles[rows], sample.interactions
    base = int(interactions["interaction"].max(initial=0)) + 1
    keys = interactions["event"] * base + interactions["interaction"]
    place = np.searchsorted(keys, table["event"] * base + table["interaction"])
    vertex = vectors_of(interactions[place], "vertex") if len(rows) else np.empty((0, 3))
    line = vectors_of(table, "start") - vertex
    length = np.linalg.norm(line, axis=1, keepdims=True)
    own = vectors_of(table, "direction")
    spread = interactions["vertex_spread"][place][:, None] if len(rows) else np.empty((0, 1))
    better = (length > 5) & (spread / length < table["direction_error"][:, None])
    return np.where(better, line / np.where(length > 0, length, np.nan), own)


def peak(mass: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Return the density of a Gaussian peak on a flat background in `WINDOW`."""
    centre, sigma, part = parameters
    gauss = np.exp(-0.5 * ((mass - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return part * gauss + (1 - part) / (WINDOW[1] - WINDOW[0])


def fit_peak(masses: np.ndarray) -> Fit:
    """Fit centre and width, MeV, and the part of the masses in the peak."""

    def loss(values: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        return -np.log(peak(values, parameters))

    least, most = np.array([80.0, 3.0, 0.0]), np.array([200.0, 60.0, 1.0])
    return fit_density_within(masses, loss, np.array([130.0, 20.0, 0.7]), least, most)
