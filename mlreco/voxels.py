"""Voxels of one event and of a batch: coordinates and features with names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

CLUSTER_COLUMNS = ("value", "cluster", "group", "interaction", "particle_type", "primary", "semantic")
"""Features of a cluster label table, in the order in which they are stored."""


@dataclass(frozen=True)
class ImageMeta:
    """Geometry of one image.

    Attributes:
        shape: number of voxels along x, y, z.
        origin: position of the corner of voxel (0, 0, 0), cm.
        voxel_size: edges of a voxel, cm.
    """

    shape: tuple[int, int, int]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class EventVoxels:
    """Voxels of one event, as a parser returns them, sorted by x, then y, then z, without duplicates.

    Attributes:
        coordinates: (N, 3) int32, voxel numbers x, y, z.
        features: (N, F) float32; float64 in a table of labels, whose ids it holds exactly.
        columns: names of the F features.
        meta: geometry of the image.
    """

    coordinates: np.ndarray
    features: np.ndarray
    columns: tuple[str, ...]
    meta: ImageMeta

    def __len__(self) -> int:
        return len(self.coordinates)

    def column(self, name: str) -> np.ndarray:
        """Return the (N,) values of one feature."""
        return self.features[:, self.columns.index(name)]


@dataclass(frozen=True)
class VoxelBatch:
    """Voxels of several events, event after event.

    Attributes:
        coordinates: (N, 4) int64 tensor: batch index, x, y, z.
        features: (N, F) float32 tensor; float64 in a table of labels.
        columns: names of the F features.
        counts: number of voxels of each event, zeros included; its length is the batch size.
        metas: geometry of each event's image.
    """

    coordinates: torch.Tensor
    features: torch.Tensor
    columns: tuple[str, ...]
    counts: tuple[int, ...]
    metas: tuple[ImageMeta, ...]

    def __len__(self) -> int:
        return len(self.coordinates)

    @property
    def batch_size(self) -> int:
        """Number of events, empty ones included."""
        return len(self.counts)

    @property
    def spatial_shape(self) -> tuple[int, int, int]:
        """The smallest shape that holds every image of the batch."""
        if not self.metas:
            return (1, 1, 1)
        x, y, z = np.max([meta.shape for meta in self.metas], axis=0).tolist()
        return (x, y, z)

    def column(self, name: str) -> torch.Tensor:
        """Return the (N,) values of one feature."""
        return self.features[:, self.columns.index(name)]

    def event(self, number: int) -> VoxelBatch:
        """Return one event as a batch of its own."""
        first = sum(self.counts[:number])
        rows = slice(first, first + self.counts[number])
        coordinates = self.coordinates[rows].clone()
        coordinates[:, 0] = 0
        return VoxelBatch(coordinates, self.features[rows], self.columns, (self.counts[number],), (self.metas[number],))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> VoxelBatch:
        """Return the batch on another device."""
        return replace(
            self,
            coordinates=self.coordinates.to(device, non_blocking=non_blocking),
            features=self.features.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> VoxelBatch:
        """Return the batch in page-locked memory; called by the data loader."""
        return replace(self, coordinates=self.coordinates.pin_memory(), features=self.features.pin_memory())
