"""The grid of a threshold search, and which of its points is the best one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

HIGHEST_SEED = 1.0
HIGHEST_PROBABILITY = 0.6
"""The ranges s0 in [0, 1] and p0 in [0, 0.6] of Koh et al. 2020, section III.C."""
COARSE, FINE = 0.05, 0.01
"""Steps of the first search and of the one around its best point."""
SMALL_PROBABILITIES = (1e-5, 1e-4, 1e-3, 3e-3)
"""Points between p0 = 0, where all voxels are one instance, and the first fine step: there a kernel reaches from 3 to
5 sigma, which a linear step passes over."""
TIE = 1e-9
"""Values that differ by less are equal: means over thousands of events, summed in different ways, differ by less."""


@dataclass(frozen=True)
class Grid:
    """Points of a search.

    Attributes:
        seed: (S,) float64 ascending values of s0.
        probability: (P,) float64 ascending values of p0.
    """

    seed: np.ndarray
    probability: np.ndarray

    @classmethod
    def whole(cls, step: float = COARSE) -> Grid:
        """Return the grid over both ranges."""
        return cls(_steps(0, HIGHEST_SEED, step), _steps(0, HIGHEST_PROBABILITY, step))

    @classmethod
    def around(cls, seed: float, probability: float, reach: float = COARSE, step: float = FINE) -> Grid:
        """Return the grid around a point, clipped to both ranges; the point is among its points.

        Where it begins at p0 = 0, ``SMALL_PROBABILITIES`` are among its points too.
        """
        probabilities = _clipped(probability, reach, step, HIGHEST_PROBABILITY)
        if probabilities[0] == 0:
            probabilities = np.union1d(probabilities, SMALL_PROBABILITIES)
        return cls(_clipped(seed, reach, step, HIGHEST_SEED), probabilities)


def _steps(first: float, last: float, step: float) -> np.ndarray:
    return np.round(np.arange(round((last - first) / step) + 1) * step + first, 10)


def _clipped(centre: float, reach: float, step: float, highest: float) -> np.ndarray:
    values = _steps(centre - reach, centre + reach, step)
    return values[(values >= 0) & (values <= highest)]


def best_point(values: np.ndarray) -> tuple[int, int]:
    """Return the indices of the centre of the best plateau.

    A plateau is a connected set (sides touch) of points that all have the highest value. Of several the one with the
    most points counts, of equally large ones the one that is met first row by row; its centre is its point nearest to
    the mean of its indices, of equally near ones the first row by row. So among thresholds that are equally good on
    these events those are chosen that can change most without effect.

    Args:
        values: (S, P) floats, none NaN.
    """
    plateaus, count = label(values >= values.max() - TIE)
    sizes = np.bincount(plateaus.ravel(), minlength=count + 1)[1:]
    points = np.argwhere(plateaus == 1 + int(sizes.argmax()))
    distances = ((points - points.mean(0)) ** 2).sum(1)
    nearest = np.flatnonzero(distances <= distances.min() + TIE)[0]
    return int(points[nearest, 0]), int(points[nearest, 1])
