"""Layers of MinkowskiEngine 0.5."""

from __future__ import annotations

from typing import Any

import MinkowskiEngine as ME
import torch
from torch import nn


class MinkowskiLayers:
    """MinkowskiEngine keeps the sites of every stride in a manager that all tensors of an image share."""

    threads: int | None = None

    def image(self, coordinates: torch.Tensor, features: torch.Tensor, edge: int) -> Any:
        """Return its tensor."""
        return ME.SparseTensor(features, coordinates=coordinates.int())

    def features(self, image: Any) -> torch.Tensor:
        """Return its features."""
        return image.F

    def with_features(self, image: Any, features: torch.Tensor) -> Any:
        """Return it with other features."""
        return ME.SparseTensor(
            features, coordinate_map_key=image.coordinate_map_key, coordinate_manager=image.coordinate_manager
        )

    def submanifold(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return a convolution of stride 1, which keeps the sites."""
        return ME.MinkowskiConvolution(fan_in, fan_out, kernel_size=3, dimension=3)

    def down(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return a strided convolution."""
        return ME.MinkowskiConvolution(fan_in, fan_out, kernel_size=2, stride=2, dimension=3)

    def up(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return the transposed convolution."""
        return ME.MinkowskiConvolutionTranspose(fan_in, fan_out, kernel_size=2, stride=2, dimension=3)


def layers() -> MinkowskiLayers:
    """Return the layers."""
    return MinkowskiLayers()
