"""Size of true instances in the image beside the margin that the network predicts for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlreco.semantics import UNKNOWN

if TYPE_CHECKING:
    from mlreco.iotools import HDF5Reader

_PRODUCTS = ("coordinates", "margins", "semantics_true", "instances_true")


@dataclass(frozen=True)
class InstanceExtents:
    """True instances of a file, an instance that reaches into several classes once in each.

    Attributes:
        classes: (K,) semantic class.
        extents: (K,) standard deviation of the voxels' distances from the instance's centre, voxels.
        margins: (K,) mean predicted margin of the voxels, units of the embedding.
    """

    classes: np.ndarray
    extents: np.ndarray
    margins: np.ndarray


def instance_extents(reader: HDF5Reader, min_voxels: int, events: range | None = None) -> InstanceExtents | None:
    """Measure the true instances of a file.

    Args:
        reader: the file.
        min_voxels: instances with fewer voxels of a class are left out there.
        events: numbers of the events; all if None.

    Returns:
        The instances; None where the file lacks margins or truth.
    """
    if any(name not in reader.products for name in _PRODUCTS):
        return None
    parts = []
    for index in range(len(reader)) if events is None else events:
        coordinates, margins, semantics, instances = reader.event(index, _PRODUCTS).values()
        parts.append(event_extents(coordinates, margins, semantics, instances, min_voxels))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] or 3 * [np.empty(0)]
    return InstanceExtents(*columns)


def event_extents(
    coordinates: np.ndarray, margins: np.ndarray, semantics: np.ndarray, instances: np.ndarray, min_voxels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure the instances of one event, as Koh et al. 2020 do for their figure 6.

    Args:
        coordinates: (N, 3) voxel numbers.
        margins: (N,) predicted margins.
        semantics: (N,) true classes, -1 for unknown.
        instances: (N,) true instances, -1 for none.
        min_voxels: instances with fewer voxels of a class are left out there.

    Returns:
        The columns of `InstanceExtents`.
    """
    known = (semantics != UNKNOWN) & (instances != UNKNOWN)
    keys = np.stack([semantics[known], instances[known]], axis=1).astype(np.int64)
    cells, position, voxels = np.unique(keys, axis=0, return_inverse=True, return_counts=True)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(position, weights=values, minlength=len(cells)) / voxels

    points = coordinates[known].astype(float)
    centres = np.stack([mean(points[:, axis]) for axis in range(3)], axis=1)
    distances = np.linalg.norm(points - centres[position], axis=1)
    extents = np.sqrt(mean((distances - mean(distances)[position]) ** 2))
    kept = voxels >= min_voxels
    return cells[kept, 0], extents[kept], mean(margins[known].astype(float))[kept]
