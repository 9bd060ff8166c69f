"""What the fits of constants share: bootstrap errors, quantiles, and the particles of a file beside the true ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from mlreco.analysis.sample import GOOD_IOU
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.particles.geometry import weighted_main_axes
from mlreco.particles.grouping import ParticleVoxels, group_voxels
from mlreco.particles.image import LabelledImage
from mlreco.particles.landmarks import Landmarks, find_landmarks
from mlreco.particles.measures import empty_table
from mlreco.particles.reconstruction import LANDMARK_RADIUS
from mlreco.particles.skeleton import Lines, find_lines
from mlreco.particles.truth import TRUE_PARTICLE
from mlreco.semantics import PILARNET

REPEATS = 60

PART = 0.68
"""Part of the angles that are within the uncertainty."""

SURE = 3.0
"""Tracks start and end at most so many cm from where they do in truth."""


@dataclass(frozen=True)
class Constant:
    """A fitted constant: where it stands, its value there, and the fit with its error."""

    name: str
    used: float
    value: float
    error: float
    of: str


def with_error(
    fit: Callable[[np.ndarray], np.ndarray], values: np.ndarray, repeats: int = REPEATS
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a fit says of values, and the standard deviations of that over bootstrap samples."""
    rng = np.random.default_rng(0)
    samples = [values[rng.integers(0, len(values), len(values))] for _ in range(repeats)]
    return fit(values), np.std([fit(sample) for sample in samples], axis=0)


def fit_uncertainty(
    errors: np.ndarray, stated: Callable[[np.ndarray], np.ndarray], start: np.ndarray | list[float]
) -> np.ndarray:
    """Return the parameters, all positive, with which the stated uncertainties of values hold 68 % of them.

    Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978) 33, of the logarithms.

    Args:
        errors: (N,) by how much the values are off.
        stated: parameters -> (N,) uncertainties.
        start: parameters to begin with.
    """

    def loss(logs: np.ndarray) -> float:
        excess = np.log(errors / stated(np.exp(logs)))
        return float(np.where(excess > 0, PART * excess, (PART - 1) * excess).sum())

    options = {"xatol": 1e-3, "fatol": 1e-3}
    return np.exp(minimize(loss, np.log(start), method="Nelder-Mead", options=options).x)


def minus_log_student(pull: np.ndarray, scale: np.ndarray, freedom: float) -> float:
    """Return - log likelihood of values whose pulls follow a Student t, up to a constant."""
    return float((0.5 * (freedom + 1) * np.log1p(pull**2 / freedom) + np.log(scale)).sum())


def matched_particles(path: Path) -> Iterator[tuple[ParticleVoxels, np.ndarray, Landmarks, Lines]]:
    """Yield of each event its particles, the rows of the true ones that they match, their landmarks and lines.

    Where none matches, the row of the true particle has a pdg of 0.
    """
    with HDF5Reader(path) as reader:
        for index in range(len(reader)):
            event = reader[index]
            image = LabelledImage.from_products(event, PILARNET)
            voxels = group_voxels(image.coordinates, image.energies, image.instances, image.origin, image.voxel_size)
            axes = weighted_main_axes(voxels.positions, voxels.owners, voxels.weights, len(voxels))
            landmarks = find_landmarks(voxels, axes, LANDMARK_RADIUS)
            yield voxels, _matched(event, len(voxels)), landmarks, find_lines(landmarks)


def _matched(event: dict[str, np.ndarray], count: int) -> np.ndarray:
    truth, matches = event["particles_true"], event["matches"]
    rows = empty_table(count, TRUE_PARTICLE)
    rows["pdg"] = 0
    known = np.flatnonzero(matches["iou"] > GOOD_IOU)
    rows[known] = truth[np.searchsorted(truth["particle"], matches["match"][known])]
    return rows
