"""The sparse image that sparse convolutions take and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class SparseConvTensor:
    """Features on the active sites of a batch of 3D images, with spconv's names.

    A voxel keeps its row: submanifold convolutions return rows in the order of their input, an inverse convolution
    in the order of the input of the convolution it undoes.

    Attributes:
        features: (N, C) floating point.
        indices: (N, 4) integers: batch index, x, y, z; no site twice.
        spatial_shape: number of sites along x, y, z.
        batch_size: number of images, empty ones included.
        indice_dict: kernel maps by ``indice_key``, shared by every tensor derived from this one.
    """

    def __init__(
        self,
        features: torch.Tensor,
        indices: torch.Tensor,
        spatial_shape: Sequence[int],
        batch_size: int,
        indice_dict: dict[Any, Any] | None = None,
    ) -> None:
        if features.ndim != 2 or indices.ndim != 2 or indices.shape[1] != 4 or len(features) != len(indices):
            raise ValueError(
                f"features (N, C) and indices (N, 4) expected, got {tuple(features.shape)} and {tuple(indices.shape)}"
            )
        self.features = features
        self.indices = indices
        self.spatial_shape = [int(n) for n in spatial_shape]
        self.batch_size = int(batch_size)
        self.indice_dict: dict[Any, Any] = {} if indice_dict is None else indice_dict

    def replace_feature(self, features: torch.Tensor) -> SparseConvTensor:
        """Return the same sites with other features, (N, C'), sharing the kernel maps."""
        return SparseConvTensor(features, self.indices, self.spatial_shape, self.batch_size, self.indice_dict)

    def dense(self) -> torch.Tensor:
        """Return the (B, C, X, Y, Z) dense image, zero outside the active sites."""
        batch, x, y, z = self.indices.long().unbind(1)
        image = self.features.new_zeros(self.batch_size, *self.spatial_shape, self.features.shape[1])
        return image.index_put((batch, x, y, z), self.features).permute(0, 4, 1, 2, 3)
