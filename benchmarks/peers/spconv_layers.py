"""Layers of spconv 2, on the CPU."""

from __future__ import annotations

from typing import Any

import spconv.pytorch as spconv
import torch
from spconv.pytorch import ops
from torch import nn


class SpconvLayers:
    """spconv with its algorithm for the CPU. More than one thread gives wrong sums: its scatter-add is a data race."""

    threads: int | None = 1

    def image(self, coordinates: torch.Tensor, features: torch.Tensor, edge: int) -> Any:
        """Return spconv's tensor."""
        return spconv.SparseConvTensor(features, coordinates.int(), [edge] * 3, int(coordinates[-1, 0]) + 1)

    def features(self, image: Any) -> torch.Tensor:
        """Return its features."""
        return image.features

    def with_features(self, image: Any, features: torch.Tensor) -> Any:
        """Return it with other features."""
        return image.replace_feature(features)

    def submanifold(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return a convolution whose indices all layers of a level share."""
        return spconv.SubMConv3d(fan_in, fan_out, 3, bias=False, indice_key=f"level_{level}")

    def down(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return a strided convolution."""
        return spconv.SparseConv3d(fan_in, fan_out, 2, stride=2, bias=False, indice_key=f"down_{level}")

    def up(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return the inverse convolution."""
        return spconv.SparseInverseConv3d(fan_in, fan_out, 2, indice_key=f"down_{level}", bias=False)


def layers() -> SpconvLayers:
    """Return the layers, with a backward pass that runs without CUDA.

    spconv's backward pass asks torch for the number of the current CUDA stream before it branches to its code for the
    CPU, which does not use it; torch without CUDA refuses to tell. Here it is told 0.
    """
    if not torch.cuda.is_available():
        ops.get_current_stream = lambda: 0
    return SpconvLayers()
