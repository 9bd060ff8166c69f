"""The adjusted mutual information (Vinh, Epps and Bailey 2010), arithmetic mean of the entropies."""

from __future__ import annotations

import math

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.contingency import Contingency, contingency


def adjusted_mutual_information(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mutual information corrected for chance, 1 for equal partitions; NaN without voxels.

    Args:
        true: (N,) integers.
        predicted: (N,) integers.
    """
    return mutual_information_of(contingency(true, predicted))


def mutual_information_of(table: Contingency) -> float:
    """Return ``adjusted_mutual_information`` from a contingency table.

    Equal partitions give exactly 1 (a single cluster on both sides and singletons on both sides, where the formula is
    0/0, among them), and one cluster against several gives exactly 0.
    """
    if not table.voxels:
        return math.nan
    n_true, n_predicted = len(table.true_sizes), len(table.predicted_sizes)
    if len(table.counts) == n_true == n_predicted:
        return 1.0
    if n_true == 1 or n_predicted == 1:
        return 0.0
    n = table.voxels
    outer = table.true_sizes[table.true_index] * table.predicted_sizes[table.predicted_index].astype(np.float64)
    information = float((table.counts / n * np.log(table.counts * n / outer)).sum())
    chance = _expected_information(*_distinct(table.true_sizes), *_distinct(table.predicted_sizes), n)
    scale = (_entropy(table.true_sizes, n) + _entropy(table.predicted_sizes, n)) / 2
    return (information - chance) / (scale - chance)


def _entropy(sizes: np.ndarray, n: int) -> float:
    return float(-(sizes / n * np.log(sizes / n)).sum())


def _distinct(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(sizes, return_counts=True)


@compiled
def _expected_information(
    true_sizes: np.ndarray, true_times: np.ndarray, predicted_sizes: np.ndarray, predicted_times: np.ndarray, n: int
) -> float:
    """Return the mutual information expected of random partitions with these distinct sizes and their numbers."""
    log_factorial = np.empty(n + 1)
    for value in range(n + 1):
        log_factorial[value] = math.lgamma(value + 1.0)
    total = 0.0
    for i in range(len(true_sizes)):
        for j in range(len(predicted_sizes)):
            a, b = true_sizes[i], predicted_sizes[j]
            fixed = log_factorial[a] + log_factorial[b] + log_factorial[n - a] + log_factorial[n - b] - log_factorial[n]
            part = 0.0
            for shared in range(max(1, a + b - n), min(a, b) + 1):
                log_weight = fixed - (
                    log_factorial[shared]
                    + log_factorial[a - shared]
                    + log_factorial[b - shared]
                    + log_factorial[n - a - b + shared]
                )
                part += shared / n * math.log(n * shared / (a * b)) * math.exp(log_weight)
            total += part * true_times[i] * predicted_times[j]
    return total
