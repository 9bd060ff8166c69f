"""Pieces of instances: voxels that are linked in space and in the embedding at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mlreco.post_processing.clustering.linking import linked_components
from mlreco.post_processing.clustering.nearest import nearest_places


@dataclass(frozen=True)
class Pieces:
    """Pieces of the voxels of one class of one event.

    Attributes:
        of_voxel: (N,) int64 number of the piece of each voxel.
        sizes: (P,) int64 voxels in each piece.
        centroids: (P, D) float64 mean embedding of each piece.
    """

    of_voxel: np.ndarray
    sizes: np.ndarray
    centroids: np.ndarray

    @classmethod
    def link(
        cls, coordinates: np.ndarray, embeddings: np.ndarray, voxel_distance: float, embedding_distance: float
    ) -> Pieces:
        """Link voxels i and j where ``(|x_i - x_j| / voxel_distance)^2 + (|e_i - e_j| / embedding_distance)^2 <= 1``.

        Args:
            coordinates: (N, 3) numbers, in voxels; N > 0.
            embeddings: (N, D) floats.
            voxel_distance: reach in space, in voxels.
            embedding_distance: reach in the embedding.
        """
        scaled = np.hstack([np.divide(coordinates, voxel_distance), np.divide(embeddings, embedding_distance)])
        return cls.of(linked_components(scaled, 1.0), embeddings)

    @classmethod
    def of(cls, of_voxel: np.ndarray, embeddings: np.ndarray) -> Pieces:
        """Return pieces from the (N,) number of the piece of each voxel and the (N, D) embeddings."""
        sizes = np.bincount(of_voxel)
        sums = [np.bincount(of_voxel, axis) for axis in np.asarray(embeddings, np.float64).T]
        return cls(of_voxel, sizes, np.stack(sums, axis=1) / sizes[:, None])

    def joined(self, join_distance: float, min_voxels: float) -> np.ndarray:
        """Join pieces to instances.

        Pieces of at least ``min_voxels`` voxels (the largest always counts) are joined where their centroids are linked
        by steps of at most ``join_distance``; every smaller piece goes to the nearest of them in the embedding.

        Args:
            join_distance: distance in the embedding; 0 joins nothing.
            min_voxels: size of a piece that stands by itself.

        Returns:
            (P,) int64 number of the instance of each piece, from 0.
        """
        return next(self.joined_at((join_distance,), min_voxels))

    def joined_at(self, join_distances: Iterable[float], min_voxels: float) -> Iterator[np.ndarray]:
        """Yield what ``joined`` returns for several distances; the large pieces are found only once."""
        large = self.is_large(min_voxels)
        seeds = self.centroids[large]
        nearest = np.empty(len(large), np.int64)
        nearest[large] = np.arange(len(seeds))
        if not large.all():
            nearest[~large] = nearest_places(self.centroids[~large], seeds)
        for distance in join_distances:
            yield linked_components(seeds, distance)[nearest] if distance > 0 else nearest

    def is_large(self, min_voxels: float) -> np.ndarray:
        """Return (P,) bool: which pieces have ``min_voxels`` voxels; the largest do in any case."""
        return self.sizes >= min(min_voxels, self.sizes.max())
