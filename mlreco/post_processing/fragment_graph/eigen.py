"""Principal axes of small symmetric matrices, in compiled loops."""

from __future__ import annotations

import math

import numpy as np

from mlreco.compiled import compiled

_SWEEPS = 12
"""Sweeps of the Jacobi method at most; 3 x 3 matrices take about five."""


@compiled
def principal_axes(matrix: np.ndarray, values: np.ndarray, axes: np.ndarray) -> None:
    """Write the eigenvalues, largest first, and the eigenvectors of a symmetric 3 x 3 matrix (cyclic Jacobi method).

    Args:
        matrix: (3, 3) float64, overwritten.
        values: (3,) float64, written; none below 0 where the matrix is a covariance.
        axes: (3, 3) float64, written; ``axes[k]`` is the unit vector of ``values[k]``.
    """
    for i in range(3):
        for j in range(3):
            axes[i, j] = 1.0 if i == j else 0.0
    for _ in range(_SWEEPS):
        off = abs(matrix[0, 1]) + abs(matrix[0, 2]) + abs(matrix[1, 2])
        if off <= 1e-15 * (abs(matrix[0, 0]) + abs(matrix[1, 1]) + abs(matrix[2, 2])):
            break
        for p in range(2):
            for q in range(p + 1, 3):
                _rotate(matrix, axes, p, q)
    for i in range(3):
        values[i] = matrix[i, i]
    for i in range(2):
        largest = i
        for j in range(i + 1, 3):
            if values[j] > values[largest]:
                largest = j
        values[i], values[largest] = values[largest], values[i]
        for k in range(3):
            axes[i, k], axes[largest, k] = axes[largest, k], axes[i, k]


@compiled
def _rotate(matrix: np.ndarray, axes: np.ndarray, p: int, q: int) -> None:
    """Make the entry (p, q) of the matrix 0 by a rotation."""
    if matrix[p, q] == 0.0:
        return
    theta = (matrix[q, q] - matrix[p, p]) / (2.0 * matrix[p, q])
    t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + math.sqrt(theta * theta + 1.0))
    c = 1.0 / math.sqrt(t * t + 1.0)
    s = t * c
    for k in range(3):
        matrix[k, p], matrix[k, q] = c * matrix[k, p] - s * matrix[k, q], s * matrix[k, p] + c * matrix[k, q]
    for k in range(3):
        matrix[p, k], matrix[q, k] = c * matrix[p, k] - s * matrix[q, k], s * matrix[p, k] + c * matrix[q, k]
    for k in range(3):
        axes[p, k], axes[q, k] = c * axes[p, k] - s * axes[q, k], s * axes[p, k] + c * axes[q, k]
