"""The shape of every fragment: centroid, principal axes, ends, and at which end it begins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.eigen import principal_axes

LEAST_ASYMMETRY = 1e-9
"""Relative difference of eigenvalues, or of widths, below which there is no direction at all."""
NEAR_END = 6.0
"""Voxels along the axis that count as an end."""


class Shapes(NamedTuple):
    """What ``fragment_shapes`` returns, a row a fragment.

    Attributes:
        centroids: (F, 3) float64 mean position.
        axes: (F, 3) float64 unit vector of largest spread, from the beginning to the end; 0 where there is none, as for
            a single voxel or four in a square.
        spreads: (F, 3) float64 standard deviations along the principal axes, largest first.
        beginnings: (F, 3) float64 the voxel at the end that counts as the beginning: where the fragment is narrower,
            the mean squared distances from the axis in the two halves being compared.
        ends: (F, 3) float64 the voxel at the other end.
        opening: (F,) float64 log of the ratio of the widths at the end and at the beginning, 0 or more.
        charges: (F, 2) float64 mean energy of the voxels within ``NEAR_END`` of the beginning and of the end.
    """

    centroids: np.ndarray
    axes: np.ndarray
    spreads: np.ndarray
    beginnings: np.ndarray
    ends: np.ndarray
    opening: np.ndarray
    charges: np.ndarray


def fragment_shapes(positions: np.ndarray, energies: np.ndarray, starts: np.ndarray) -> Shapes:
    """Return the shapes of fragments.

    Args:
        positions: (N, 3) float64, fragment after fragment.
        energies: (N,) float64 likewise.
        starts: (F + 1,) int64 where each fragment begins.
    """
    return Shapes(*_shapes(positions, energies, starts))


@compiled
def _shapes(positions: np.ndarray, energies: np.ndarray, starts: np.ndarray) -> tuple:
    count = len(starts) - 1
    centroids, axes, spreads = np.zeros((count, 3)), np.zeros((count, 3)), np.zeros((count, 3))
    beginnings, ends = np.zeros((count, 3)), np.zeros((count, 3))
    opening, charges = np.zeros(count), np.zeros((count, 2))
    matrix, values, vectors = np.empty((3, 3)), np.empty(3), np.empty((3, 3))
    for f in range(count):
        first, last = starts[f], starts[f + 1]
        _covariance(positions, first, last, centroids[f], matrix)
        principal_axes(matrix, values, vectors)
        for k in range(3):
            spreads[f, k] = np.sqrt(max(values[k], 0.0))
        if values[0] - values[1] > LEAST_ASYMMETRY * values[0]:
            axes[f] = vectors[0]
            opening[f] = _orient(positions, energies, first, last, centroids[f], axes[f])
        _ends(positions, energies, first, last, centroids[f], axes[f], beginnings[f], ends[f], charges[f])
    return centroids, axes, spreads, beginnings, ends, opening, charges


@compiled
def _covariance(positions: np.ndarray, first: int, last: int, centroid: np.ndarray, matrix: np.ndarray) -> None:
    """Write the mean and the covariance of the positions from ``first`` to ``last``."""
    for axis in range(3):
        total = 0.0
        for place in range(first, last):
            total += positions[place, axis]
        centroid[axis] = total / (last - first)
    for i in range(3):
        for j in range(i + 1):
            total = 0.0
            for place in range(first, last):
                total += (positions[place, i] - centroid[i]) * (positions[place, j] - centroid[j])
            matrix[i, j] = matrix[j, i] = total / (last - first)


@compiled
def _orient(
    positions: np.ndarray, energies: np.ndarray, first: int, last: int, centroid: np.ndarray, axis: np.ndarray
) -> float:
    """Turn the axis from the narrow half to the wide one; where both are equal, from less energy to more.

    Returns:
        log of the ratio of the widths, a voxel's own width of 1/12 added to both squares.
    """
    widths, counts, energy = np.zeros(2), np.zeros(2), np.zeros(2)
    for place in range(first, last):
        along, squared = 0.0, 0.0
        for k in range(3):
            step = positions[place, k] - centroid[k]
            along += step * axis[k]
            squared += step * step
        side = 1 if along > 0 else 0
        widths[side] += max(squared - along * along, 0.0)
        counts[side] += 1.0
        energy[side] += energies[place]
    low = widths[0] / max(counts[0], 1.0) + 1 / 12
    high = widths[1] / max(counts[1], 1.0) + 1 / 12
    ratio = 0.5 * np.log(high / low)
    if ratio < -LEAST_ASYMMETRY or (ratio < LEAST_ASYMMETRY and energy[0] > energy[1]):
        for k in range(3):
            axis[k] = -axis[k]
    return abs(ratio)


@compiled
def _ends(
    positions: np.ndarray,
    energies: np.ndarray,
    first: int,
    last: int,
    centroid: np.ndarray,
    axis: np.ndarray,
    beginning: np.ndarray,
    end: np.ndarray,
    charges: np.ndarray,
) -> None:
    """Write the voxels at both ends along the axis and the mean energy of the voxels near each."""
    along = np.zeros(last - first)
    for place in range(first, last):
        for k in range(3):
            along[place - first] += (positions[place, k] - centroid[k]) * axis[k]
    low, high = along.min(), along.max()
    beginning[:] = positions[first + along.argmin()]
    end[:] = positions[first + along.argmax()]
    near = np.zeros(2)
    for place in range(first, last):
        if along[place - first] <= low + NEAR_END:
            charges[0] += energies[place]
            near[0] += 1.0
        if along[place - first] >= high - NEAR_END:
            charges[1] += energies[place]
            near[1] += 1.0
    charges /= near
