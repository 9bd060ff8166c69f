"""Medians, widths, fractions and fits with their uncertainties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import beta

REPEATS = 200
"""Samples of a bootstrap."""

_Statistic = Callable[[np.ndarray], np.ndarray]
_Density = Callable[[np.ndarray, np.ndarray], np.ndarray]

MOST_DECIMALS = 6
"""Uncertainties that need more are those of values without any spread."""

LEAST_VALUES = 5
"""Fewer values than this for each parameter are not fitted."""

_OUTSIDE = 1e6
"""Negative logarithm of a density outside the bounds of its parameters."""

CENTRAL = (15.865, 84.135)
"""Percentiles that hold 68 % between them."""


@dataclass(frozen=True)
class Number:
    """A result.

    Attributes:
        name: what it is.
        value: NaN where there are too few events.
        error: its statistical uncertainty (68 %).
        unit: of both; empty for none.
        count: particles or events it is made of.
        expected: the expected value; NaN where it is not known.
    """

    name: str
    value: float
    error: float
    unit: str
    count: int
    expected: float = np.nan

    def text(self) -> str:
        """Return it as one line."""
        known = f", expected {self.expected:.4g}" if np.isfinite(self.expected) else ""
        return f"{self.name}: {self.measured('+-')} ({self.count}{known})"

    def measured(self, sign: str = "±") -> str:
        """Return value, uncertainty and unit: two digits of the uncertainty, and as many decimals of the value."""
        if np.isnan(self.value):
            return "not known"
        decimals = 1 - int(f"{self.error:.1e}".partition("e")[2]) if 0 < self.error < np.inf else MOST_DECIMALS + 1
        if decimals > MOST_DECIMALS:
            numbers = f"{self.value:.4g} {sign} {'?' if np.isnan(self.error) else f'{self.error:.2g}'}"
        else:
            value, error = (round(number, decimals) + 0.0 for number in (self.value, self.error))
            numbers = f"{value:.{max(0, decimals)}f} {sign} {error:.{max(0, decimals)}f}"
        return f"{numbers} {self.unit}" if self.unit else numbers


def median(name: str, values: np.ndarray, unit: str = "", expected: float = np.nan) -> Number:
    """Return the median of values."""
    return _sampled(name, values, lambda sample: np.percentile(sample, 50, axis=-1), unit, expected)


def width(name: str, values: np.ndarray, unit: str = "") -> Number:
    """Return half of the interval that holds the central 68 % of values."""

    def half(sample: np.ndarray) -> np.ndarray:
        low, high = np.percentile(sample, CENTRAL, axis=-1)
        return (high - low) / 2

    return _sampled(name, values, half, unit, np.nan)


def quantile(name: str, values: np.ndarray, part: float, unit: str = "", expected: float = np.nan) -> Number:
    """Return the value below which a part of the values is."""
    return _sampled(name, values, lambda sample: np.percentile(sample, 100 * part, axis=-1), unit, expected)


def fraction(name: str, flags: np.ndarray, expected: float = np.nan) -> Number:
    """Return the fraction of true values; the error is half of its `interval`."""
    if not len(flags):
        return Number(name, np.nan, np.nan, "", 0, expected)
    low, high = interval(flags)
    return Number(name, float(np.mean(flags)), (high - low) / 2, "", len(flags), expected)


def interval(flags: np.ndarray) -> tuple[float, float]:
    """Return the 68 % interval of Clopper and Pearson of the fraction of true values; from 0 to 1 for none."""
    count, yes = len(flags), int(np.sum(flags))
    low = 0.0 if yes == 0 else beta.ppf(0.15865, yes, count - yes + 1)
    high = 1.0 if yes == count else beta.ppf(0.84135, yes + 1, count - yes)
    return float(low), float(high)


def _sampled(
    name: str, values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], unit: str, expected: float
) -> Number:
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return Number(name, np.nan, np.nan, unit, len(values), expected)
    rng = np.random.default_rng(0)
    repeats = min(REPEATS, max(20, 4_000_000 // len(values)))
    samples = values[rng.integers(0, len(values), (repeats, len(values)))]
    return Number(name, float(statistic(values)), float(np.std(statistic(samples))), unit, len(values), expected)


@dataclass(frozen=True)
class Fit:
    """Parameters of a fit and their uncertainties, both (P,); NaN where there were too few values."""

    parameters: np.ndarray
    errors: np.ndarray


def fit_density(values: np.ndarray, negative_log_density: _Density, start: np.ndarray) -> Fit:
    """Fit a density to values without binning them.

    Args:
        values: (N,) numbers.
        negative_log_density: (values, parameters) -> (N,).
        start: (P,) parameters to begin with.

    Returns:
        The fit; the errors are those of the second derivatives of the likelihood.
    """
    nothing = np.full(len(start), np.nan)
    if len(values) < LEAST_VALUES * len(start):
        return Fit(nothing, nothing)

    def loss(parameters: np.ndarray) -> float:
        return float(np.sum(negative_log_density(values, parameters)))

    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-5, "maxiter": 4000})
    return Fit(found.x, _errors(loss, found.x))


def fit_density_within(
    values: np.ndarray, negative_log_density: _Density, start: np.ndarray, least: np.ndarray, most: np.ndarray
) -> Fit:
    """Fit a density whose parameters have bounds, without binning.

    A parameter that ends at a bound, nearer than the differences for its error reach, is held there, and the others are
    fitted once more: its error is NaN.

    Args:
        values: (N,) numbers.
        negative_log_density: (values, parameters) -> (N,); called within the bounds alone.
        start: (P,) parameters to begin with.
        least: (P,) lower bounds.
        most: (P,) upper bounds.
    """
    best, held = start.astype(np.float64), np.zeros(len(start), bool)
    errors = np.full(len(start), np.nan)

    def bounded(values: np.ndarray, free: np.ndarray) -> np.ndarray:
        parameters = best.copy()
        parameters[~held] = free
        if not ((parameters >= least) & (parameters <= most)).all():
            return np.full(len(values), _OUTSIDE)
        return negative_log_density(values, parameters)

    while not held.all():
        found = fit_density(values, bounded, best[~held])
        best[~held], errors[~held] = found.parameters, found.errors
        reach = 2 * _steps(best)
        low, high = ~held & (best - reach < least), ~held & (best + reach > most)
        if not (low | high).any():
            break
        best[low], best[high] = least[low], most[high]
        held |= low | high
        errors[held] = np.nan
    return Fit(best, errors)


def _steps(best: np.ndarray) -> np.ndarray:
    """Return (P,) by how much parameters are varied for second derivatives."""
    return 0.005 * np.maximum(np.abs(best), 0.05)


def _errors(loss: Callable[[np.ndarray], float], best: np.ndarray) -> np.ndarray:
    """Return the square roots of the diagonal of the inverse of the second derivatives, by finite differences."""
    steps = _steps(best)
    hessian = np.empty((len(best), len(best)))
    for i in range(len(best)):
        for j in range(len(best)):
            corners = [
                si * sj * loss(best + si * steps[i] * np.eye(len(best))[i] + sj * steps[j] * np.eye(len(best))[j])
                for si in (1, -1)
                for sj in (1, -1)
            ]
            hessian[i, j] = sum(corners) / (4 * steps[i] * steps[j])
    if not np.isfinite(hessian).all() or np.linalg.cond(hessian) > 1e12:
        return np.full(len(best), np.nan)
    variances = np.diag(np.linalg.inv(hessian))
    return np.sqrt(np.where(variances > 0, variances, np.nan))
