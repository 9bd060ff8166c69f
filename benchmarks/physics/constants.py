"""Constants of likelihoods and uncertainties, fitted: ``python -m benchmarks.physics.constants FILE.h5 [FILE.h5]``.

Particles are reconstructed from true instances of simulated events, which must be others than those that
``python -m benchmarks.physics`` is run on. Each constant of `mlreco.particles` that was fitted to simulation is fitted
again; the table goes to ``benchmarks/results/physics_constants.md``. Constants that hold what chains do wrong are
fitted to what they wrote of the same events: ``--chains OUTPUT.h5 [OUTPUT.h5]``, one for each file.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from benchmarks.physics.direction_constants import of_assigned, of_directions
from benchmarks.physics.fitting import REPEATS, SURE, Constant, fit_uncertainty, matched_particles, with_error
from benchmarks.physics.true_instances import write_true_instances
from mlreco.analysis.sample import Sample, angle_between, read_sample
from mlreco.atomic import write_text
from mlreco.particles import identity, measures, showers, stopping
from mlreco.particles.columns import vectors_of
from mlreco.particles.csda import csda_range, stopping_power
from mlreco.particles.geometry import principal_axes
from mlreco.particles.profiles import dedx_profiles
from mlreco.particles.trajectory import follow
from mlreco.semantics import PILARNET

RESULT = Path(__file__).resolve().parents[1] / "results" / "physics_constants.md"
PDG = {"muon": 13, "proton": 2212}
LEAST_SHOWER = 35.0
"""Showers below this true energy, MeV, are left out."""

STRAGGLING = 0.1
"""Ranges of particles that stop differ by at most this part from those of the tables."""

OF_CHAIN = " of the chain"

NUDGE = 0.02
"""Difference of ranges, cm, over which the slope of dE/dx is taken."""


def main() -> None:
    """Fit all constants in all files and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physics.constants", description=__doc__.split("\n")[0])
    parser.add_argument("events", type=Path, nargs="+", metavar="FILE.h5", help="simulated events with labels")
    parser.add_argument("--chains", type=Path, nargs="+", metavar="OUTPUT.h5", help="what chains wrote of these events")
    arguments = parser.parse_args()
    chains = arguments.chains or [None] * len(arguments.events)
    if len(chains) != len(arguments.events):
        parser.error(f"{len(chains)} chains for {len(arguments.events)} files: one for each, or none")
    columns = {}
    for path, chain in zip(arguments.events, chains, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            write_true_instances(path, Path(folder) / "true.h5", None)
            columns[path.stem] = [*constants(Path(folder) / "true.h5"), *([] if chain is None else of_chain(chain))]
    write_text(RESULT, table(columns))
    print(table(columns))


def constants(path: Path) -> Iterator[Constant]:
    """Yield the constants as an output file with truth has them."""
    sample = read_sample(path)
    yield from _of_steps(sample)
    yield from _of_showers(sample)
    yield _of_senses(path, "")
    yield _of_answers(path)
    yield from of_directions(path)
    yield _of_wrong_starts(sample, "")


def of_chain(path: Path) -> Iterator[Constant]:
    """Yield the constants that hold what a chain does wrong, as its output file with truth has them."""
    sample = read_sample(path)
    yield of_assigned(path)
    yield _of_senses(path, OF_CHAIN)
    yield _of_wrong_starts(sample, OF_CHAIN)
    yield _of_response(sample, OF_CHAIN)


def _of_steps(sample: Sample) -> Iterator[Constant]:
    """Median and width of the steps of stopping muons and protons."""
    log, mean, slope, track = _steps_of_stopping(sample)

    def loss(values: np.ndarray, rows: np.ndarray) -> float:
        if not (values[0] < 0.9 and (values[1:] >= 0).all()):
            return np.inf
        median, scale = stopping.expected_steps(mean[rows], slope[rows], *values)
        return _minus_log_student((log[rows] - median) / scale, scale, stopping.FREEDOM)

    def fit(tracks: np.ndarray) -> np.ndarray:
        rows = np.concatenate([by_track[one] for one in tracks])
        start = [getattr(stopping, name) for name in names]
        return minimize(loss, start, (rows,), method="Nelder-Mead", options={"fatol": 0.01}).x

    names = ("MEDIAN_SHIFT", "WIDTH", "WIDTH_GROWTH", "END_ERROR")
    numbers = np.unique(track)
    by_track = dict(zip(numbers, np.split(np.argsort(track, kind="stable"), _ends(track)), strict=True))
    best, error = with_error(fit, numbers, 8)
    for place, name in enumerate(names):
        yield Constant(f"stopping.{name}", getattr(stopping, name), best[place], error[place], "steps of 0.5 cm")


def _steps_of_stopping(sample: Sample) -> tuple[np.ndarray, ...]:
    """Return log dE/dx of the inner steps of tracks that stop, the mean of the tables, its slope, and the track."""
    steps, owners = sample.dedx, sample.owners
    stopped, pdg = _stopped(sample)
    inner = np.append(False, owners[1:] == owners[:-1]) & np.append(owners[1:] == owners[:-1], False)
    chosen = stopped[owners] & inner & (steps["dedx"] > 0)
    columns = []
    for name, number in PDG.items():
        mine = chosen & (pdg[owners] == number)
        left = steps["residual_range"][mine].astype(np.float64)
        mean, below, above = (stopping_power(left + by, name) for by in (0, -NUDGE, NUDGE))
        slope = np.log(above / below) / (2 * NUDGE)
        columns.append((np.log(steps["dedx"][mine].astype(np.float64)), mean, slope, owners[mine]))
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))


def _stopped(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return which particles are reconstructed from end to end and go as far as their energy lasts, and their pdg.

    Protons that interact end where they have most of their energy left: steps before that are no Bragg peak.
    """
    rows = np.arange(len(sample.particles))
    right = sample.particles["contained"] == 1
    for name in ("start", "end"):
        right &= np.linalg.norm(sample.vectors(rows, name) - sample.true_vectors(rows, name), axis=1) < SURE
    pdg = np.abs(np.nan_to_num(sample.true_of(rows, "pdg")))
    energy, length = sample.true_of(rows, "kinetic_energy"), sample.true_of(rows, "length")
    last = np.where(pdg == PDG["proton"], csda_range(energy, "proton"), csda_range(energy, "muon"))
    return right & (np.abs(length / last - 1) < STRAGGLING), pdg


def _ends(particle: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff(np.sort(particle, kind="stable"))) + 1


def _of_showers(sample: Sample) -> Iterator[Constant]:
    """Response, dE/dx at the start, and direction of contained primary showers."""
    rows = _primary_showers(sample)
    pdg = np.abs(sample.true_of(rows, "pdg"))
    table = sample.particles[rows]
    first = np.linalg.norm(sample.vectors(rows, "start") - sample.true_vectors(rows, "start"), axis=1)
    known = (first < SURE) & (table["dedx_start"] > 0)
    yield _of_response(sample, "")
    for name, number in (("ELECTRON_DEDX", 11), ("PHOTON_DEDX", 22)):
        dedx = table["dedx_start"][known & (pdg == number)].astype(np.float64)
        used = getattr(identity, name)
        yield _constant(f"identity.{name}", used, dedx, np.median, f"{len(dedx)} showers")
        logs = np.log(dedx / np.median(dedx))
        yield _constant(f"identity.WIDTH (of {name})", identity.WIDTH, logs, _student_width, f"{len(dedx)} showers")
    gap = table["vertex_distance"][known & (pdg == 11) & (table["primary"] == 1)]
    gap = gap[np.isfinite(gap)].astype(np.float64)
    yield _constant("identity.GAP_ERROR", identity.GAP_ERROR, gap, _student_width, f"{len(gap)} electrons")
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


def _of_response(sample: Sample, of: str) -> Constant:
    """Return which part of the energy of showers is in their voxels; of a chain it is its ``shower_response``."""
    rows = _primary_showers(sample)
    response = sample.particles["energy"][rows] / sample.true_of(rows, "kinetic_energy")
    name = "measures.SHOWER_RESPONSE"
    return _constant(name, measures.SHOWER_RESPONSE, response, np.median, f"{len(rows)} showers{of}")


def _of_wrong_starts(sample: Sample, of: str) -> Constant:
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


def _of_senses(path: Path, of: str) -> Constant:
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


def _of_answers(path: Path) -> Constant:
    """Return by how much the likelihood of the steps of tracks must be weakened to give the right probabilities.

    It is fitted to what it tells: of all weights the one under which the true senses and kinds are most probable.
    """
    values, senses, kinds = [], [], []
    for voxels, truth, landmarks, lines in matched_particles(path):
        axes = principal_axes(voxels.positions, voxels.owners, voxels.counts)[1]
        trajectories = follow(voxels, landmarks, lines, axes)
        steps = dedx_profiles(voxels, trajectories)
        way = vectors_of(truth, "end") - vectors_of(truth, "start")
        code = np.abs(truth["pdg"])
        wanted = np.isin(code, (13, 211, 2212)) & (np.linalg.norm(way, axis=1) > SURE) & (np.diff(steps.starts) > 0)
        likelihood = stopping.stopping_likelihood(steps, trajectories.lengths)
        values.append(likelihood.values[wanted] / stopping.CORRELATION)
        ahead = ((trajectories.ends[:, 1] - trajectories.ends[:, 0]) * way).sum(axis=1)
        senses.append(ahead[wanted] > 0)
        kinds.append(code[wanted] == PDG["proton"])
    each, forward, heavy = (np.concatenate(parts) for parts in (values, senses, kinds))

    def fit(tracks: np.ndarray) -> np.ndarray:
        own, ahead, proton = each[tracks], forward[tracks], heavy[tracks]

        def loss(log_weight: float) -> float:
            weighted = stopping.StoppingLikelihood(np.exp(log_weight) * own)
            odds = weighted.sense()
            probability = np.clip(weighted.proton(~ahead), 1e-300, 1 - 1e-16)
            of_kinds = -np.log(np.where(proton, probability, 1 - probability))
            return float((np.logaddexp(0, np.where(ahead, -odds, odds)) + of_kinds).sum())

        return np.exp([minimize_scalar(loss, bounds=(np.log(0.02), np.log(2)), method="bounded").x])

    best, error = with_error(fit, np.arange(len(each)), 12)
    return Constant("stopping.CORRELATION", stopping.CORRELATION, best[0], error[0], f"{len(each)} tracks")


def _minus_log_student(pull: np.ndarray, scale: np.ndarray, freedom: float) -> float:
    """Return - log likelihood of values whose pulls follow a Student t, up to a constant."""
    return float((0.5 * (freedom + 1) * np.log1p(pull**2 / freedom) + np.log(scale)).sum())


def _student_width(values: np.ndarray) -> float:
    """Return the scale of a Student t about 0 that describes values."""
    freedom = identity.FREEDOM

    def loss(log_scale: np.ndarray) -> float:
        scale = np.full(len(values), np.exp(log_scale[0]))
        return _minus_log_student(values / scale, scale, freedom)

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


def table(columns: dict[str, list[Constant]]) -> str:
    """Return the constants as Markdown."""
    lines = [
        "# Constants of the particle tables",
        "",
        f"Written by `python -m benchmarks.physics.constants` on {datetime.date.today().isoformat()} from "
        + " and ".join(f"`{name}.h5`" for name in columns)
        + ": particles of true instances. Errors are those of a bootstrap, 68 %.",
        "",
        "| constant of `mlreco.particles` | in use | " + " | ".join(columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for row in zip(*columns.values(), strict=True):
        fitted = " | ".join(f"{one.value:.3g} ± {one.error:.2g} ({one.of})" for one in row)
        lines.append(f"| `{row[0].name}` | {row[0].used:g} | {fitted} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
