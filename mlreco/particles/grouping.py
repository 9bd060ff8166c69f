"""Voxels of events put together by particle, with positions in cm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.errors import UserError


@dataclass(frozen=True)
class ParticleVoxels:
    """The voxels that belong to particles, particle after particle and event after event; K particles, N voxels.

    Attributes:
        event_starts: (E + 1,) int64; event e has the particles ``event_starts[e]`` to ``event_starts[e + 1]``.
        numbers: (K,) int32 number of each particle in its event, increasing there.
        starts: (K + 1,) int64; particle k has the rows ``starts[k]`` to ``starts[k + 1]``.
        rows: (N,) int64 row of each voxel in the arrays given.
        positions: (N, 3) float64 centres of the voxels, cm.
        energies: (N,) float64, MeV.
        weights: (N,) float64 positive weights of the voxels of a particle: the energies, or 1 for all where these are
            not all positive and finite.
        voxel_size: (3,) float64 edges of a voxel, cm.
    """

    event_starts: np.ndarray
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

    @property
    def boxes(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest coordinates of the voxels of each particle, (K, 3) float64, cm."""
        first = self.starts[:-1]
        return np.minimum.reduceat(self.positions, first), np.maximum.reduceat(self.positions, first)

    @property
    def events(self) -> np.ndarray:
        """Event of each particle, (K,) int64."""
        return np.repeat(np.arange(len(self.event_starts) - 1), np.diff(self.event_starts))

    @property
    def companions(self) -> np.ndarray:
        """First particle of the event of each, and the first of the next event, (K, 2) int64."""
        return np.stack([self.event_starts[:-1], self.event_starts[1:]], axis=1)[self.events]


def group_voxels(
    coordinates: np.ndarray,
    energies: np.ndarray | None,
    instances: np.ndarray,
    origin: np.ndarray | tuple[float, float, float] = (0.0, 0.0, 0.0),
    voxel_size: np.ndarray | tuple[float, float, float] = (1.0, 1.0, 1.0),
    voxels: np.ndarray | None = None,
) -> ParticleVoxels:
    """Put the voxels of events together by particle; those of instance -1 belong to none.

    Args:
        coordinates: (N, 3) voxel numbers.
        energies: (N,) MeV; None for an image without.
        instances: (N,) integers.
        origin: corner of voxel (0, 0, 0), cm; (E, 3) for each event.
        voxel_size: edges of a voxel, cm; they may differ.
        voxels: (E,) how many each event has, one event after the other; None for one event.

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
    count = 1 if voxels is None else len(voxels)
    events = np.repeat(np.arange(count), len(instances) if voxels is None else voxels)
    order = _in_order(coordinates, instances, events)
    labels, events = instances[order], events[order]
    changes = (labels[1:] != labels[:-1]) | (events[1:] != events[:-1])
    first = np.flatnonzero(np.append(len(order) > 0, changes))
    starts = np.append(first, len(order))
    origins = np.broadcast_to(np.asarray(origin, np.float64), (count, 3))
    positions = origins[events] + (coordinates[order] + 0.5) * size
    values = np.full(len(order), np.nan) if energies is None else np.asarray(energies, np.float64)[order]
    bad = np.add.reduceat(~(values > 0) | np.isinf(values), first) if len(first) else np.empty(0)
    weights = np.where(np.repeat(bad > 0, np.diff(starts)), 1.0, values)
    event_starts = np.searchsorted(events[first], np.arange(count + 1))
    numbers = labels[first].astype(np.int32)
    return ParticleVoxels(event_starts, numbers, starts, order, positions, values, weights, size)


def _in_order(coordinates: np.ndarray, instances: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Return the rows of voxels with a particle, by event, particle, then x, y, z: however they came."""
    rows = np.flatnonzero(instances >= 0)
    if not len(rows):
        return rows
    inside = coordinates[rows].astype(np.int64) - coordinates[rows].min(axis=0)
    x, y, z = inside.max(axis=0).tolist()
    numbers = int(instances.max()) + 1
    if (int(events[-1]) + 1) * numbers * (x + 1) * (y + 1) * (z + 1) >= 1 << 62:
        return rows[np.lexsort((*inside.T[::-1], instances[rows], events[rows]))]
    particles = events[rows] * numbers + instances[rows]
    key = ((particles * (x + 1) + inside[:, 0]) * (y + 1) + inside[:, 1]) * (z + 1)
    return rows[np.argsort(key + inside[:, 2], kind="stable")]
