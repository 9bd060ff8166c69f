"""Constants of showers, fitted: starts, senses, directions, energies, electrons against photons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import t as student

from benchmarks.physics.fitting import (
    REPEATS,
    SURE,
    Constant,
    fit_uncertainty,
    matched_particles,
    minus_log_student,
    with_error,
)
from mlreco.analysis.sample import Sample, angle_between
from mlreco.particles import identity, measures, showers
from mlreco.particles.columns import vectors_of
from mlreco.particles.vertices import CONVERSION
from mlreco.semantics import PILARNET

LEAST_SHOWER = 35.0
"""Showers below this true energy, MeV, are left out."""


def of_showers(sample: Sample) -> Iterator[Constant]:
    """Response, dE/dx at the start, and direction of contained primary showers."""
    rows = _primary_showers(sample)
    pdg = np.abs(sample.true_of(rows, "pdg"))
    table = sample.particles[rows]
    first = np.linalg.norm(sample.vectors(rows, "start") - sample.true_vectors(rows, "start"), axis=1)
    known = (first < SURE) & (table["dedx_start"] > 0)
    yield of_response(sample, "")
    for name, number in (("ELECTRON_DEDX", 11), ("PHOTON_DEDX", 22)):
        dedx = table["dedx_start"][known & (pdg == number)].astype(np.float64)
        used = getattr(identity, name)
        yield _constant(f"identity.{name}", used, dedx, np.median, f"{len(dedx)} showers")
        logs = np.log(dedx / np.median(dedx))
        yield _constant(f"identity.WIDTH (of {name})", identity.WIDTH, logs, _student_width, f"{len(dedx)} showers")
    gap = table["vertex_distance"][known & (pdg == 11) & (table["primary"] == 1)]
    gap = gap[np.isfinite(gap)].astype(np.float64)
    yield _constant("identity.GAP_ERROR", identity.GAP_ERROR, gap, _student_width, f"{len(gap)} electrons")
    yield from of_exceptions(sample, "")
    angle = np.radians(angle_between(sample.vectors(rows, "direction"), sample.true_vectors(rows, "direction")))
    energy = table["energy"].astype(np.float64)
    usable = np.isfinite(angle) & (energy > 10) & (angle < 1)
    pairs = np.stack([angle[usable], energy[usable]], axis=1)
    best, error = with_error(_fit_angles, pairs, REPEATS)
    for place, name in enumerate(("ANGLE_SCATTERING", "ANGLE_LEAST")):
        yield Constant(f"showers.{name}", getattr(showers, name), best[place], error[place], f"{len(pairs)} showers")


def _primary_showers(sample: Sample) -> np.ndarray:
    """Return the rows of the contained primary electrons and photons."""
    rows = sample.showers()
    chosen = (sample.true_of(rows, "primary") == 1) & (sample.particles["wall_distance"][rows] > 5)
    chosen &= np.isin(np.abs(sample.true_of(rows, "pdg")), (11, 22))
    return rows[chosen & (sample.true_of(rows, "kinetic_energy") > LEAST_SHOWER)]


def of_exceptions(sample: Sample, of: str) -> Iterator[Constant]:
    """Yield the parts of showers that ionise as the other kind, and of electrons whose vertex is a wrong one."""
    rows = _primary_showers(sample)
    pdg, table = np.abs(sample.true_of(rows, "pdg")), sample.particles[rows]
    first = np.linalg.norm(sample.vectors(rows, "start") - sample.true_vectors(rows, "start"), axis=1)
    for name, number in (("photon", 22), ("electron", 11)):
        dedx = table["dedx_start"][(first < SURE) & (table["dedx_start"] > 0) & (pdg == number)].astype(np.float64)
        used, fit = identity.AS_THE_OTHER[name], partial(_part_as_the_other, electron=name == "electron")
        yield _constant(f"identity.AS_THE_OTHER ({name})", used, dedx, fit, f"{len(dedx)} showers{of}")
    gap = table["vertex_distance"][(first < SURE) & (pdg == 11) & (table["primary"] == 1)].astype(np.float64)
    gap = gap[np.isfinite(gap)]
    yield _constant("identity.GAP_WRONG", identity.GAP_WRONG, gap, _wrong_part, f"{len(gap)} electrons{of}")


def of_response(sample: Sample, of: str) -> Constant:
    """Return which part of the energy of showers is in their voxels; of a chain it is its ``shower_response``."""
    rows = _primary_showers(sample)
    response = sample.particles["energy"][rows] / sample.true_of(rows, "kinetic_energy")
    name = "measures.SHOWER_RESPONSE"
    return _constant(name, measures.SHOWER_RESPONSE, response, np.median, f"{len(rows)} showers{of}")


def of_wrong_starts(sample: Sample, of: str) -> Constant:
    """Return the part of wrong starts under which electrons and photons are most probably what they are."""
    rows = _primary_showers(sample)
    table = sample.particles[rows]
    gap = np.where(table["primary"] == 1, table["vertex_distance"], np.nan).astype(np.float64)
    dedx, photon = table["dedx_start"].astype(np.float64), np.abs(sample.true_of(rows, "pdg")) == 22
    known = np.flatnonzero(np.isfinite(gap) | np.isfinite(dedx))

    def fit(chosen: np.ndarray) -> np.ndarray:
        def loss(part: float) -> float:
            probability = identity.photon_probability(dedx[chosen], gap[chosen], part)
            return -float(np.log(np.where(photon[chosen], probability, 1 - probability)).sum())

        return np.array([minimize_scalar(loss, bounds=(1e-4, 0.9), method="bounded").x])

    best, error = with_error(fit, known)
    return Constant("identity.START_WRONG", identity.START_WRONG, best[0], error[0], f"{len(known)} showers{of}")


def of_senses(path: Path, of: str) -> Constant:
    """Return the log odds of a sense of showers for each unit of the correlation by which they widen."""
    correlations, right = [], []
    for voxels, truth, landmarks, lines in matched_particles(path):
        wanted = (truth["semantic"] == PILARNET.number("Shower")) & (truth["primary"] == 1)
        wanted &= truth["kinetic_energy"] > LEAST_SHOWER
        starts = showers.find_shower_starts(voxels, landmarks, lines, wanted)
        cosine = (starts.directions[:, 0] * vectors_of(truth, "direction")).sum(axis=1)
        correlations.append(starts.sense[wanted] / showers.WIDENING)
        right.append(cosine[wanted] > 0)
    pairs = np.stack([np.concatenate(correlations), np.concatenate(right)], axis=1)

    def fit(sample: np.ndarray) -> np.ndarray:
        correlation, first = sample.T

        def loss(slope: np.ndarray) -> float:
            return float(np.logaddexp(0, slope[0] * np.where(first == 1, -correlation, correlation)).sum())

        return minimize(loss, [showers.WIDENING], method="Nelder-Mead").x

    best, error = with_error(fit, pairs, REPEATS)
    return Constant("showers.WIDENING", showers.WIDENING, best[0], error[0], f"{len(pairs)} showers{of}")


def _part_as_the_other(dedx: np.ndarray, electron: bool) -> float:
    """Return the part of electrons, or of photons, whose dE/dx at the start is that of the other."""
    peaks = (identity.ELECTRON_DEDX, identity.PHOTON_DEDX)
    own, other = (_around(np.log(dedx / peak), identity.WIDTH) for peak in (peaks if electron else peaks[::-1]))
    return _part(own, other)


def _wrong_part(gap: np.ndarray) -> float:
    """Return the part of the distances of electrons from their vertex that are those from a wrong one."""
    return _part(2 * _around(gap, identity.GAP_ERROR), np.exp(-gap / CONVERSION) / CONVERSION)


def _around(values: np.ndarray, width: float) -> np.ndarray:
    return student.pdf(values, identity.FREEDOM, scale=width)


def _part(own: np.ndarray, other: np.ndarray) -> float:
    """Return the most likely part of values from the other of two densities."""

    def loss(part: float) -> float:
        return -float(np.log((1 - part) * own + part * other).sum())

    return float(minimize_scalar(loss, bounds=(1e-4, 0.9), method="bounded").x)


def _student_width(values: np.ndarray) -> float:
    """Return the scale of a Student t about 0 that describes values."""
    freedom = identity.FREEDOM

    def loss(log_scale: np.ndarray) -> float:
        scale = np.full(len(values), np.exp(log_scale[0]))
        return minus_log_student(values / scale, scale, freedom)

    return float(np.exp(minimize(loss, [np.log(np.median(np.abs(values)))], method="Nelder-Mead").x[0]))


def _fit_angles(pairs: np.ndarray) -> np.ndarray:
    """Return scattering and least angle of showers, rad MeV and rad: a / E and b, in quadrature, hold 68 %."""
    angle, energy = pairs.T
    used = [showers.ANGLE_SCATTERING, showers.ANGLE_LEAST]
    return fit_uncertainty(angle, lambda values: np.hypot(values[0] / energy, values[1]), used)


def _constant(
    name: str, used: float, values: np.ndarray, statistic: Callable[[np.ndarray], float], of: str
) -> Constant:
    values = values[np.isfinite(values)]
    best, error = with_error(lambda sample: np.array([statistic(sample)]), values, REPEATS)
    return Constant(name, used, best[0], error[0], of)
