"""Particles: a table with one row for each fragment of an event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPATIAL = 3


@dataclass(frozen=True)
class ParticleTable:
    """What is known of each of the K fragments of an event, ordered by fragment number.

    Attributes:
        fragment: (K,) int32 fragment number.
        semantic: (K,) int8 most common class of its voxels, the lowest of equally common ones.
        voxels: (K,) int32 number of voxels.
        energy: (K,) float64 summed energy, MeV.
        centroid: (K, 3) float64 mean position of its voxels, in units of the coordinates.
        axis: (K, 3) float64 unit vector along which the voxels spread most; its largest component is positive. (0, 0,
            1) where all voxels stand in one place.
        spread: (K, 3) float64 standard deviations along the principal axes, largest first.
        length: (K,) float64 extent of the voxels along the axis.
        margin: (K,) float64 mean margin, NaN without margins.
        seediness: (K,) float64 mean seediness, NaN without seediness.
    """

    fragment: np.ndarray
    semantic: np.ndarray
    voxels: np.ndarray
    energy: np.ndarray
    centroid: np.ndarray
    axis: np.ndarray
    spread: np.ndarray
    length: np.ndarray
    margin: np.ndarray
    seediness: np.ndarray

    def __len__(self) -> int:
        return len(self.fragment)


def build_particles(
    coordinates: np.ndarray,
    energies: np.ndarray,
    semantics: np.ndarray,
    fragments: np.ndarray,
    margins: np.ndarray | None = None,
    seediness: np.ndarray | None = None,
) -> ParticleTable:
    """Summarise the fragments of one event; voxels of fragment -1 belong to none.

    Args:
        coordinates: (N, 3) numbers, voxel numbers or positions.
        energies: (N,) floats, MeV.
        semantics: (N,) integers.
        fragments: (N,) integers.
        margins: (N,) floats.
        seediness: (N,) floats.
    """
    rows = np.flatnonzero(np.asarray(fragments) >= 0)
    names, number, voxels = np.unique(fragments[rows], return_inverse=True, return_counts=True)
    count = len(names)
    positions = np.asarray(coordinates, np.float64)[rows]
    centroid = _means(positions, number, voxels)
    offsets = positions - centroid[number]
    products = (offsets[:, :, None] * offsets[:, None, :]).reshape(-1, SPATIAL * SPATIAL)
    variances, axes = np.linalg.eigh(_means(products, number, voxels).reshape(count, SPATIAL, SPATIAL))
    axis = axes[:, :, -1]
    largest = np.take_along_axis(axis, np.abs(axis).argmax(1)[:, None], 1)
    axis = np.where(largest < 0, -axis, axis)
    along = np.einsum("nd,nd->n", offsets, axis[number])
    low, high = np.zeros(count), np.zeros(count)
    np.minimum.at(low, number, along)
    np.maximum.at(high, number, along)
    return ParticleTable(
        fragment=names.astype(np.int32),
        semantic=_most_common(np.asarray(semantics)[rows], number, count),
        voxels=voxels.astype(np.int32),
        energy=np.bincount(number, np.asarray(energies)[rows], count),
        centroid=centroid,
        axis=axis,
        spread=np.sqrt(np.maximum(variances[:, ::-1], 0)),
        length=high - low,
        margin=_mean_or_nan(margins, rows, number, voxels),
        seediness=_mean_or_nan(seediness, rows, number, voxels),
    )


def _means(values: np.ndarray, number: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return (K, D) the means of (N, D) values over the groups of that number."""
    columns = [np.bincount(number, column, len(sizes)) for column in values.T]
    return np.stack(columns, axis=1) / sizes[:, None]


def _mean_or_nan(values: np.ndarray | None, rows: np.ndarray, number: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    if values is None:
        return np.full(len(sizes), np.nan)
    return _means(np.asarray(values)[rows, None], number, sizes)[:, 0]


def _most_common(semantics: np.ndarray, number: np.ndarray, count: int) -> np.ndarray:
    classes, class_number = np.unique(semantics, return_inverse=True)
    if not count:
        return np.empty(0, np.int8)
    votes = np.bincount(number * len(classes) + class_number, minlength=count * len(classes))
    return classes[votes.reshape(count, len(classes)).argmax(1)].astype(np.int8)
