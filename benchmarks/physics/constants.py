"""Constants of likelihoods and uncertainties, fitted: ``python -m benchmarks.physics.constants FILE.h5 [FILE.h5]``.

Particles are reconstructed from true instances of simulated events, which must be others than those that
``python -m benchmarks.physics`` is run on. Each constant of `mlreco.particles` that was fitted to simulation is fitted
again; the table goes to ``benchmarks/results/physics_constants.md``.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from benchmarks.physics.true_instances import write_true_instances
from mlreco.analysis.sample import Sample, angle_between, read_sample
from mlreco.atomic import write_text
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.particles import identity, measures, showers, stopping
from mlreco.particles.columns import vectors_of
from mlreco.particles.csda import csda_range, stopping_power
from mlreco.particles.geometry import principal_axes, weighted_main_axes
from mlreco.particles.grouping import ParticleVoxels, group_voxels
from mlreco.particles.image import LabelledImage
from mlreco.particles.landmarks import Landmarks, find_landmarks
from mlreco.particles.profiles import dedx_profiles
from mlreco.particles.reconstruction import LANDMARK_RADIUS
from mlreco.particles.skeleton import Lines, find_lines
from mlreco.particles.trajectory import follow
from mlreco.semantics import PILARNET

RESULT = Path(__file__).resolve().parents[1] / "results" / "physics_constants.md"
REPEATS = 60
PDG = {"muon": 13, "proton": 2212}
LEAST_SHOWER = 35.0
"""Showers below this true energy, MeV, are left out."""

PART = 0.68
"""Part of the angles that are within the uncertainty."""

SURE = 3.0
"""Tracks start and end at most so many cm from where they do in truth."""

STRAGGLING = 0.1
"""Ranges of particles that stop differ by at most this part from those of the tables."""

NUDGE = 0.02
"""Difference of ranges, cm, over which the slope of dE/dx is taken."""


@dataclass(frozen=True)
class Constant:
    """A fitted constant: where it stands, its value there, and the fit with its error."""

    name: str
    used: float
    value: float
    error: float
    of: str


def main() -> None:
    """Fit all constants in all files and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physics.constants", description=__doc__.split("\n")[0])
    parser.add_argument("events", type=Path, nargs="+", metavar="FILE.h5", help="simulated events with labels")
    arguments = parser.parse_args()
    columns = {}
    for path in arguments.events:
        with tempfile.TemporaryDirectory() as folder:
            write_true_instances(path, Path(folder) / "true.h5", None)
            columns[path.stem] = list(constants(Path(folder) / "true.h5"))
    write_text(RESULT, table(columns))
    print(table(columns))


def constants(path: Path) -> Iterator[Constant]:
    """Yield the constants as an output file with truth has them."""
    sample = read_sample(path)
    yield from _of_steps(sample)
    yield from _of_showers(sample)
    yield _of_senses(path)
    yield _of_answers(path)


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
    best, error = _with_error(fit, numbers, 8)
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
    rows = sample.showers()
    rows = rows[(sample.true_of(rows, "primary") == 1) & (sample.particles["wall_distance"][rows] > 5)]
    pdg, true = np.abs(sample.true_of(rows, "pdg")), sample.true_of(rows, "kinetic_energy")
    rows, pdg, true = (values[np.isin(pdg, (11, 22)) & (true > LEAST_SHOWER)] for values in (rows, pdg, true))
    table = sample.particles[rows]
    first = np.linalg.norm(sample.vectors(rows, "start") - sample.true_vectors(rows, "start"), axis=1)
    known = (first < SURE) & (table["dedx_start"] > 0)
    response, of = table["energy"] / true, f"{len(rows)} showers"
    yield _constant("measures.SHOWER_RESPONSE", measures.SHOWER_RESPONSE, response, np.median, of)
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
    best, error = _with_error(_fit_angles, pairs, REPEATS)
    for place, name in enumerate(("ANGLE_SCATTERING", "ANGLE_LEAST")):
        yield Constant(f"showers.{name}", getattr(showers, name), best[place], error[place], f"{len(pairs)} showers")


def _of_senses(path: Path) -> Constant:
    """Return the log odds of a sense of showers for each unit of the correlation by which they widen."""
    correlations, right = [], []
    for voxels, truth, landmarks, lines in _true_particles(path):
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

    best, error = _with_error(fit, pairs, REPEATS)
    return Constant("showers.WIDENING", showers.WIDENING, best[0], error[0], f"{len(pairs)} showers")


def _of_answers(path: Path) -> Constant:
    """Return by how much the likelihood of the steps of tracks must be weakened to give the right probabilities.

    It is fitted to what it tells: of all weights the one under which the true senses and kinds are most probable.
    """
    values, senses, kinds = [], [], []
    for voxels, truth, landmarks, lines in _true_particles(path):
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

    best, error = _with_error(fit, np.arange(len(each)), 12)
    return Constant("stopping.CORRELATION", stopping.CORRELATION, best[0], error[0], f"{len(each)} tracks")


def _true_particles(path: Path) -> Iterator[tuple[ParticleVoxels, np.ndarray, Landmarks, Lines]]:
    """Yield of each event the voxels of its true particles, these, and their landmarks and lines."""
    with HDF5Reader(path) as reader:
        for index in range(len(reader)):
            event = reader[index]
            image = LabelledImage.from_products(event, PILARNET)
            voxels = group_voxels(image.coordinates, image.energies, image.instances, image.origin, image.voxel_size)
            axes = weighted_main_axes(voxels.positions, voxels.owners, voxels.weights, len(voxels))
            landmarks = find_landmarks(voxels, axes, LANDMARK_RADIUS)
            yield voxels, event["particles_true"][voxels.numbers], landmarks, find_lines(landmarks)


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
    """Return scattering and least angle of showers, rad MeV and rad: a / E and b, in quadrature, hold 68 %.

    Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978) 33, of the logarithms.
    """
    angle, energy = pairs.T

    def loss(values: np.ndarray) -> float:
        excess = np.log(angle / np.hypot(np.exp(values[0]) / energy, np.exp(values[1])))
        return float(np.where(excess > 0, PART * excess, (PART - 1) * excess).sum())

    start = np.log([showers.ANGLE_SCATTERING, showers.ANGLE_LEAST])
    return np.exp(minimize(loss, start, method="Nelder-Mead").x)


def _constant(
    name: str, used: float, values: np.ndarray, statistic: Callable[[np.ndarray], float], of: str
) -> Constant:
    values = values[np.isfinite(values)]
    best, error = _with_error(lambda sample: np.array([statistic(sample)]), values, REPEATS)
    return Constant(name, used, best[0], error[0], of)


def _with_error(
    fit: Callable[[np.ndarray], np.ndarray], values: np.ndarray, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a fit says of values, and the standard deviations of that over bootstrap samples."""
    rng = np.random.default_rng(0)
    samples = [values[rng.integers(0, len(values), len(values))] for _ in range(repeats)]
    return fit(values), np.std([fit(sample) for sample in samples], axis=0)


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
