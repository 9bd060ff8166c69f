"""Constants of the uncertainty of directions of tracks, fitted to how far these are off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.physics.fitting import SURE, Constant, fit_uncertainty, matched_particles, with_error
from mlreco.particles import directions, scattering
from mlreco.particles.columns import vectors_of
from mlreco.particles.csda import csda_range
from mlreco.particles.directions import WITHIN, start_lines
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.landmarks import Landmarks
from mlreco.particles.measures import HIDDEN, LIKELY
from mlreco.particles.profiles import NEAR, dedx_profiles
from mlreco.particles.proximity import find_neighbours
from mlreco.particles.reconstruction import NEIGHBOUR_REACH
from mlreco.particles.skeleton import Lines
from mlreco.particles.stopping import StoppingLikelihood, stopping_likelihood
from mlreco.particles.trajectory import Trajectories, follow

PARTICLES = {"muon": 13, "pion": 211, "proton": 2212}


class Parts(NamedTuple):
    """Angles of N tracks to their true directions, and what these are uncertain by in each of two planes, (N,) rad.

    All but ``steps`` is over the constant that it is proportional to.
    """

    angle: np.ndarray
    steps: np.ndarray
    scattering: np.ndarray
    noise: np.ndarray
    company: np.ndarray


def of_directions(path: Path) -> Iterator[Constant]:
    """Yield the constants for particles of true instances.

    That of scattering with kinds and energies of the truth; the others with those that dE/dx tells, as in the tables.
    """
    rows = _rows(path, assigned=False, true_energies=True)
    of = f"{len(rows)} tracks of known energy"
    used = [scattering.HIGHLAND, directions.NOISE, directions.SHARED]
    best, error = with_error(lambda sample: _fit(sample, [], used), rows)
    yield Constant("scattering.HIGHLAND", scattering.HIGHLAND, best[0], error[0], of)
    rows = _rows(path, assigned=False, true_energies=False)
    best, error = with_error(lambda sample: _fit(sample, used[:1], used[1:]), rows)
    for place, name in enumerate(("NOISE", "SHARED")):
        value = getattr(directions, name)
        yield Constant(f"directions.{name}", value, best[place], error[place], f"{len(rows)} tracks")


def of_assigned(path: Path) -> Constant:
    """Return the constant for particles whose voxels a network has assigned; the others are as they are in use."""
    rows = _rows(path, assigned=True, true_energies=False)
    fixed = [scattering.HIGHLAND, directions.NOISE]
    best, error = with_error(lambda sample: _fit(sample, fixed, [directions.ASSIGNED]), rows)
    return Constant("directions.ASSIGNED", directions.ASSIGNED, best[0], error[0], f"{len(rows)} tracks of the chain")


def _fit(rows: np.ndarray, fixed: list[float], start: list[float]) -> np.ndarray:
    """Return the constants that are not fixed, of those of scattering, noise and company in this order."""
    parts = Parts(*rows.T)
    proportional = rows[:, 2:]

    def stated(values: np.ndarray) -> np.ndarray:
        rest = ((proportional * np.append(fixed, values)) ** 2).sum(axis=1)
        return WITHIN * np.sqrt(parts.steps**2 + rest)

    return fit_uncertainty(parts.angle, stated, start)


def _rows(path: Path, assigned: bool, true_energies: bool) -> np.ndarray:
    """Return the columns of `Parts` of the tracks of a file that start where they do in truth."""
    found = [_of_event(*event, assigned, true_energies) for event in matched_particles(path)]
    return np.concatenate(found)


def _of_event(
    voxels: ParticleVoxels, truth: np.ndarray, landmarks: Landmarks, lines: Lines, assigned: bool, true_energies: bool
) -> np.ndarray:
    axes = np.tile([1.0, 0.0, 0.0], (len(voxels), 1))
    paths = follow(voxels, landmarks, lines, axes)
    way = vectors_of(truth, "end") - vectors_of(truth, "start")
    backward = ((paths.ends[:, 1] - paths.ends[:, 0]) * way).sum(axis=1) < 0
    proximity = find_neighbours(voxels, landmarks, NEIGHBOUR_REACH)
    first = start_lines(voxels, paths, backward, proximity, np.full(len(voxels), assigned), NEAR)
    begun = paths.ends[np.arange(len(voxels)), backward.astype(np.int64)] - vectors_of(truth, "start")
    direction = vectors_of(truth, "direction")
    before = (begun * direction).sum(axis=1)
    before = np.where(before <= HIDDEN, np.maximum(before, 0.0), 0.0)
    likelihood = stopping_likelihood(dedx_profiles(voxels, paths), paths.lengths)
    ranges = _true_ranges(truth, before) if true_energies else _found_ranges(likelihood, paths, backward)
    turned = np.full(len(truth), np.nan)
    for name, left in ranges.items():
        own = np.isfinite(left)
        turned[own] = scattering.scattering_of_track(
            left[own], before[own], first.lengths[own], first.turned[own], name
        )
    parts = Parts(
        np.arccos(np.clip((first.directions * direction).sum(axis=1), -1, 1)),
        first.steps,
        turned / scattering.HIGHLAND,
        first.noise / directions.NOISE,
        first.company / (directions.ASSIGNED if assigned else directions.SHARED),
    )
    wanted = np.isin(np.abs(truth["pdg"]), list(PARTICLES.values())) & (np.linalg.norm(way, axis=1) > SURE)
    wanted &= (np.linalg.norm(begun, axis=1) < SURE) & np.isfinite(parts).all(axis=0) & (parts.angle > 0)
    wanted &= true_energies | ((likelihood.sense() < 0) == backward)
    return np.stack(parts, axis=1)[wanted]


def _true_ranges(truth: np.ndarray, before: np.ndarray) -> dict[str, np.ndarray]:
    """Return how far each particle goes on from its first voxel if it is one of a name; NaN where it is none."""
    codes, energy = np.abs(truth["pdg"]), truth["kinetic_energy"]
    return {
        name: np.where(codes == code, csda_range(energy, name) - before, np.nan) for name, code in PARTICLES.items()
    }


def _found_ranges(likelihood: StoppingLikelihood, paths: Trajectories, backward: np.ndarray) -> dict[str, np.ndarray]:
    """Return the same as dE/dx tells it."""
    proton, left = likelihood.proton(backward) > LIKELY, likelihood.left(backward)
    return {
        "muon": np.where(proton, np.nan, paths.lengths + left[:, 0]),
        "proton": np.where(proton, paths.lengths + left[:, 1], np.nan),
    }
