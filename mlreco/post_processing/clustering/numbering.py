"""Numbers of instances."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled


def in_order_of_rows(labels: np.ndarray) -> np.ndarray:
    """Return (N,) int64 labels 0 to K - 1 of the same partition, numbered in the order of their first rows.

    Args:
        labels: (N,) integers from 0; memory for as many numbers as the largest says is taken.
    """
    return _numbered(labels, np.full(int(labels.max(initial=-1)) + 1, -1, np.int64))


@compiled
def _numbered(labels: np.ndarray, number: np.ndarray) -> np.ndarray:
    numbers = np.empty(len(labels), np.int64)
    count = 0
    for row in range(len(labels)):
        if number[labels[row]] < 0:
            number[labels[row]] = count
            count += 1
        numbers[row] = number[labels[row]]
    return numbers
