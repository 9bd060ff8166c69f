"""Intervals of means over events by the bootstrap (Efron 1979): events drawn again with replacement."""

from __future__ import annotations

import math

import numpy as np

from mlreco.post_processing.evaluation.summary import ALL, AVERAGED, Evaluation, with_several

LEVEL = 0.68
SAMPLES = 1000
SEED = 0


def bootstrap_intervals(
    values: np.ndarray, level: float = LEVEL, samples: int = SAMPLES, seed: int = SEED
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the central interval of the means of resampled events.

    The columns are drawn together. With one event both ends are its value.

    Args:
        values: (E, M) floats, a row an event.
        level: probability content.
        samples: number of resamplings.
        seed: of the random numbers; the same gives the same intervals.

    Returns:
        (M,) lower and (M,) upper ends, NaN without events.
    """
    events, columns = values.shape
    if not events:
        return np.full(columns, math.nan), np.full(columns, math.nan)
    rng = np.random.default_rng(seed)
    means = np.array([values[rng.integers(0, events, events)].mean(axis=0) for _ in range(samples)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def intervals(evaluation: Evaluation, number: int) -> dict[str, tuple[float, float]]:
    """Return the 68 % intervals of the means over events of a class, or of ``ALL``.

    Returns:
        Name as in ``Evaluation.summary`` (``ari_multi`` among them) -> lower and upper end, NaN where undefined.
    """
    rows = {name: column[evaluation.rows["class"] == number] for name, column in evaluation.rows.items()}
    multi = with_several(rows)
    low, high = bootstrap_intervals(np.stack([rows[name] for name in AVERAGED], axis=1))
    found = {name: (float(low[i]), float(high[i])) for i, name in enumerate(AVERAGED)}
    low, high = bootstrap_intervals(rows["ari"][multi][:, None])
    return {**found, "ari_multi": (float(low[0]), float(high[0]))}


def intervals_dict(evaluation: Evaluation) -> dict[str, dict[str, list[float] | None]]:
    """Return the intervals of each class and of ``all`` as JSON can hold them: [lower, upper], None if undefined."""
    numbers = {**{name: number for number, name in enumerate(evaluation.classes)}, "all": ALL}
    return {
        name: {metric: None if math.isnan(low) else [low, high] for metric, (low, high) in found.items()}
        for name, found in ((name, intervals(evaluation, number)) for name, number in numbers.items())
    }
