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
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from benchmarks.physics.direction_constants import of_assigned, of_directions
from benchmarks.physics.fitting import SURE, Constant, matched_particles, minus_log_student, with_error
from benchmarks.physics.shower_constants import of_exceptions, of_response, of_senses, of_showers, of_wrong_starts
from benchmarks.physics.true_instances import write_true_instances
from mlreco.analysis.sample import Sample, read_sample
from mlreco.atomic import write_text
from mlreco.particles import stopping
from mlreco.particles.columns import vectors_of
from mlreco.particles.csda import csda_range, stopping_power
from mlreco.particles.geometry import principal_axes
from mlreco.particles.profiles import dedx_profiles
from mlreco.particles.trajectory import follow

RESULT = Path(__file__).resolve().parents[1] / "results" / "physics_constants.md"
PDG = {"muon": 13, "proton": 2212}
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
    yield from of_showers(sample)
    yield of_senses(path, "")
    yield _of_answers(path)
    yield from of_directions(path)
    yield of_wrong_starts(sample, "")


def of_chain(path: Path) -> Iterator[Constant]:
    """Yield the constants that hold what a chain does wrong, as its output file with truth has them."""
    sample = read_sample(path)
    yield of_assigned(path)
    yield of_senses(path, OF_CHAIN)
    yield of_wrong_starts(sample, OF_CHAIN)
    yield from of_exceptions(sample, OF_CHAIN)
    yield of_response(sample, OF_CHAIN)


def _of_steps(sample: Sample) -> Iterator[Constant]:
    """Median and width of the steps of stopping muons and protons."""
    log, mean, slope, track = _steps_of_stopping(sample)

    def loss(values: np.ndarray, rows: np.ndarray) -> float:
        if not (values[0] < 0.9 and (values[1:] >= 0).all()):
            return np.inf
        median, scale = stopping.expected_steps(mean[rows], slope[rows], *values)
        return minus_log_student((log[rows] - median) / scale, scale, stopping.FREEDOM)

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
