"""Likelihood of dE/dx along a track: muon or proton, which end it stops at, and whether it stops.

Hypotheses are all combinations of a particle (muon, which a charged pion resembles to a few per cent, or proton), a
sense, and the range that is left where the track ends: 0 for one that stops, up to meters for one that leaves the
image, decays or interacts. Every step of the track is expected at

    median = S (1 - MEDIAN_SHIFT w),   S the mean dE/dx at its residual range (CSDA tables), w = (2.15 MeV/cm / S)^2,

with a relative width of WIDTH + WIDTH_GROWTH w, in quadrature with what an error END_ERROR of the residual range does,
and the tails of a Student t with 4 degrees of freedom; the numbers were fitted to steps of 0.5 cm of simulated muons
and protons without recombination (``benchmarks/results/physics_constants.md``). Steps are correlated, for voxels spread
over several of them: the sum of their logarithms counts as CORRELATION says, the weight under which the true senses and
kinds are most probable. The first and last step, in which the particle begins or ends somewhere, do not count where
there are others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.csda import kinetic_energy, stopping_power
from mlreco.particles.profiles import Profiles

PARTICLES = ("muon", "proton")
LEFT = (0.0, 3.0, 8.0, 20.0, 50.0, 120.0, 300.0, 1000.0)
"""Ranges that may be left where a track ends, cm."""

STOPS = 0.5
"""Prior probability that a track stops where it ends; the other ranges share the rest as 1 / (range + 10 cm), those of
protons that times exp(-E / `PROTON_ENERGY`), E the kinetic energy that is left."""

PROTON_ENERGY = 150.0
"""Mean kinetic energy of protons where their tracks end, MeV: few of those that neutrinos knock out have more than
300 MeV. Without it a minimum ionising track that leaves the image might as well be a proton of a GeV."""

MEDIAN_SHIFT = 0.093
WIDTH, WIDTH_GROWTH = 0.05, 0.115
END_ERROR = 0.11
"""Uncertainty of the residual range, cm: where in its last voxel of 3 mm a particle stops is not seen."""

CORRELATION = 0.5
FREEDOM = 4.0
MINIMUM_IONISING = 2.15
_GRID = 0.25
_REACH = 2500.0
_LARGE = 1e100
"""Product of tails at which its logarithm is taken: float64 has room for as large a factor more."""


@dataclass(frozen=True)
class StoppingLikelihood:
    """Log likelihoods of K tracks, up to a constant of each track; 0 where there is no dE/dx.

    Attributes:
        values: (K, 2, 2, R) float64: particle (``PARTICLES``), sense (0: it moves from the first end to the second; 1:
            the other way), range left (``LEFT``).
    """

    values: np.ndarray

    def sense(self) -> np.ndarray:
        """Return log P(it moves from the first end to the second) - log P(the other way), (K,)."""
        both = _log_sum(self._weighted(), (1, 3))
        return both[:, 0] - both[:, 1]

    def proton(self, backward: np.ndarray) -> np.ndarray:
        """Return the probability that a track is a proton's rather than a muon's or pion's, equally likely before.

        Args:
            backward: (K,) bool: the track moves from the second end to the first.
        """
        one = _log_sum(self._in_sense(backward), (2,))
        return _logistic(one[:, 1] - one[:, 0])

    def stops(self, backward: np.ndarray) -> np.ndarray:
        """Return the probability that a track of known sense stops where it ends, (K,)."""
        one = self._in_sense(backward)
        return _logistic(_log_sum(one[:, :, :1], (1, 2)) - _log_sum(one[:, :, 1:], (1, 2)))

    def left(self, backward: np.ndarray) -> np.ndarray:
        """Return the mean range that a track of known sense has left where it ends, (K, 2) cm, a column a particle."""
        one = self._in_sense(backward)
        weights = np.exp(one - one.max(axis=2, keepdims=True))
        return weights @ np.array(LEFT) / weights.sum(axis=2)

    def _weighted(self) -> np.ndarray:
        return self.values + _log_prior()[:, None, :]

    def _in_sense(self, backward: np.ndarray) -> np.ndarray:
        return np.where(backward[:, None, None], self._weighted()[:, :, 1], self._weighted()[:, :, 0])


def stopping_likelihood(profiles: Profiles, lengths: np.ndarray) -> StoppingLikelihood:
    """Return how well each hypothesis describes dE/dx along tracks.

    Args:
        profiles: dE/dx of K tracks in steps of about 0.5 cm.
        lengths: (K,) path lengths, cm.
    """
    values = np.zeros((len(lengths), len(PARTICLES), 2, len(LEFT)))
    usable = np.where((profiles.dedx > 0) & np.isfinite(profiles.dedx), profiles.dedx, np.nan)
    _add(values, np.log(usable), profiles.distance, profiles.starts, lengths, np.array(LEFT), *_expected())
    return StoppingLikelihood(CORRELATION * values)


@cache
def _log_prior() -> np.ndarray:
    """Return (2, R) log probability that a track of a particle has each of the ranges `LEFT` left."""
    left = np.array(LEFT)
    prior = np.tile(1 / (left + 10), (len(PARTICLES), 1))
    prior[PARTICLES.index("proton")] *= np.exp(-kinetic_energy(left, "proton") / PROTON_ENERGY)
    prior *= (1 - STOPS) / prior[:, 1:].sum(axis=1, keepdims=True)
    prior[:, 0] = STOPS
    return np.log(prior)


def expected_steps(
    mean: np.ndarray,
    slope: np.ndarray,
    shift: float = MEDIAN_SHIFT,
    width: float = WIDTH,
    growth: float = WIDTH_GROWTH,
    end_error: float = END_ERROR,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithm of the median of steps, and their relative width.

    Args:
        mean: dE/dx at their residual range, MeV/cm.
        slope: how its logarithm changes with the residual range, 1/cm.
        shift: `MEDIAN_SHIFT`.
        width: `WIDTH`.
        growth: `WIDTH_GROWTH`.
        end_error: `END_ERROR`.
    """
    weak = (MINIMUM_IONISING / mean) ** 2
    return np.log(mean * (1 - shift * weak)), np.hypot(width + growth * weak, end_error * slope)


@cache
def _expected() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (2, G) log median, relative width and its logarithm of dE/dx at residual ranges 0.25 cm apart."""
    ranges = np.arange(_GRID / 2, _REACH, _GRID)
    mean = np.stack([stopping_power(ranges, particle) for particle in PARTICLES])
    log_median, width = expected_steps(mean, np.gradient(np.log(mean), _GRID, axis=1))
    return log_median, width, np.log(width)


@compiled
def _add(
    values: np.ndarray,
    logs: np.ndarray,
    distance: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    left: np.ndarray,
    median: np.ndarray,
    width: np.ndarray,
    log_width: np.ndarray,
) -> None:
    """Add the log likelihoods of all steps; the logarithm of the tails is taken of products of many of them."""
    power = 0.5 * (FREEDOM + 1)
    tails = np.empty(values.shape[1:])
    for p in range(len(lengths)):
        tails[:] = 1.0
        first, end = starts[p], starts[p + 1]
        if end - first > 2:
            first, end = first + 1, end - 1
        for b in range(first, end):
            if np.isnan(logs[b]):
                continue
            for sense in range(2):
                ahead = distance[b] if sense == 1 else lengths[p] - distance[b]
                for r in range(len(left)):
                    cell = min(int((ahead + left[r]) / _GRID), median.shape[1] - 1)
                    for kind in range(median.shape[0]):
                        pull = (logs[b] - median[kind, cell]) / width[kind, cell]
                        tails[kind, sense, r] *= 1 + pull * pull / FREEDOM
                        values[p, kind, sense, r] -= log_width[kind, cell]
                        if tails[kind, sense, r] > _LARGE:
                            values[p, kind, sense, r] -= power * np.log(tails[kind, sense, r])
                            tails[kind, sense, r] = 1.0
        values[p] -= power * np.log(tails)


def _log_sum(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    top = values.max(axes, keepdims=True)
    return np.log(np.exp(values - top).sum(axes)) + top.squeeze(axes)


def _logistic(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(log_odds, -700, 700)))
