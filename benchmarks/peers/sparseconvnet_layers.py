"""Layers of SparseConvNet (Facebook Research)."""

from __future__ import annotations

from typing import Any

import sparseconvnet as scn
import torch
from torch import nn


class SparseConvNetLayers:
    """SparseConvNet keeps the sites of every level in the image itself."""

    threads: int | None = None

    def image(self, coordinates: torch.Tensor, features: torch.Tensor, edge: int) -> Any:
        """Return its tensor; it wants the batch index as the last column."""
        places = coordinates[:, [1, 2, 3, 0]]
        entry = scn.InputLayer(3, torch.full((3,), edge, dtype=torch.long), mode=0)
        return entry([places, features, int(coordinates[-1, 0]) + 1])

    def features(self, image: Any) -> torch.Tensor:
        """Return its features."""
        return image.features

    def with_features(self, image: Any, features: torch.Tensor) -> Any:
        """Return it with other features."""
        return scn.SparseConvNetTensor(features, image.metadata, image.spatial_size)

    def submanifold(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return a submanifold convolution."""
        return scn.SubmanifoldConvolution(3, fan_in, fan_out, 3, False)

    def down(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return a strided convolution."""
        return scn.Convolution(3, fan_in, fan_out, 2, 2, False)

    def up(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return the transposed convolution onto known sites."""
        return scn.Deconvolution(3, fan_in, fan_out, 2, 2, False)


def layers() -> SparseConvNetLayers:
    """Return the layers."""
    return SparseConvNetLayers()
