"""Numbers of instances."""

from __future__ import annotations

import numpy as np


def in_order_of_rows(labels: np.ndarray) -> np.ndarray:
    """Return (N,) int64 labels 0 to K - 1 of the same partition, numbered in the order of their first rows.

    Args:
        labels: (N,) integers.
    """
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]
