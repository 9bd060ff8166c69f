"""Voxels of an event put together by particle, with positions in cm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.errors import UserError


@dataclass(frozen=True)
class ParticleVoxels:
    """The voxels that belong to particles, particle after particle; K particles, N voxels.

    Attributes:
        numbers: (K,) int32 number of each particle in the event, increasing.
        starts: (K + 1,) int64; particle k has the rows ``starts[k]`` to ``starts[k + 1]``.
        rows: (N,) int64 row of each voxel in the event's arrays.
        positions: (N, 3) float64 centres of the voxels, cm.
        energies: (N,) float64, MeV.
        weights: (N,) float64 positive weights of the voxels of a particle: the energies, or 1 for all where these are
            not all positive and finite.
        voxel_size: (3,) float64 edges of a voxel, cm.
    """

    numbers: np.ndarray
    starts: np.ndarray
    rows: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    weights: np.ndarray
    voxel_size: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def counts(self) -> np.ndarray:
        """Voxels of each particle, (K,) int64."""
        return np.diff(self.starts)

    @property
    def owners(self) -> np.ndarray:
        """Place of the particle of each voxel, (N,) int64."""
        return np.repeat(np.arange(len(self)), self.counts)


def group_voxels(
    coordinates: np.ndarray,
    energies: np.ndarray | None,
    instances: np.ndarray,
    origin: np.ndarray | tuple[float, float, float] = (0.0, 0.0, 0.0),
    voxel_size: np.ndarray | tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> ParticleVoxels:
    """Put the voxels of an event together by particle; those of instance -1 belong to none.

    Args:
        coordinates: (N, 3) voxel numbers.
        energies: (N,) MeV; None for an image without.
        instances: (N,) integers.
        origin: corner of voxel (0, 0, 0), cm.
        voxel_size: edges of a voxel, cm; they may differ.

    Raises:
        UserError: the arrays have different lengths, or an edge is not positive.
    """
    instances = np.asarray(instances)
    coordinates = np.asarray(coordinates).reshape(-1, 3)
    size = np.asarray(voxel_size, np.float64).reshape(3)
    if not (size > 0).all():
        raise UserError(f"voxel_size: edges of a voxel are positive numbers of cm, not {size.tolist()}")
    if len(coordinates) != len(instances) or (energies is not None and len(energies) != len(instances)):
        raise UserError("coordinates, energies and instances of an event must have the same number of rows")
    order = _in_order(coordinates, instances)
    numbers, first = np.unique(instances[order], return_index=True)
    starts = np.append(first, len(order)).astype(np.int64)
    positions = np.asarray(origin, np.float64).reshape(3) + (coordinates[order] + 0.5) * size
    values = np.full(len(order), np.nan) if energies is None else np.asarray(energies, np.float64)[order]
    bad = np.add.reduceat(~(values > 0) | np.isinf(values), first) if len(first) else np.empty(0)
    weights = np.where(np.repeat(bad > 0, np.diff(starts)), 1.0, values)
    return ParticleVoxels(numbers.astype(np.int32), starts, order, positions, values, weights, size)


def _in_order(coordinates: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Return the rows of voxels with a particle by particle, then x, y, z: results do not depend on how they came."""
    rows = np.flatnonzero(instances >= 0)
    if not len(rows):
        return rows
    inside = coordinates[rows].astype(np.int64) - coordinates[rows].min(axis=0)
    x, y, z = inside.max(axis=0).tolist()
    if (int(instances.max()) + 1) * (x + 1) * (y + 1) * (z + 1) >= 1 << 62:
        return rows[np.lexsort((*inside.T[::-1], instances[rows]))]
    key = ((instances[rows].astype(np.int64) * (x + 1) + inside[:, 0]) * (y + 1) + inside[:, 1]) * (z + 1)
    return rows[np.argsort(key + inside[:, 2], kind="stable")]
