"""Batch normalisation followed by LeakyReLU."""

from __future__ import annotations

import torch
from torch import nn

from mlreco.sparse.as_made import CPU_DEVICE, is_made, is_own
from mlreco.sparse.engine import engine_of
from mlreco.sparse.layers.norm import VoxelBatchNorm
from mlreco.sparse.tensor import require_features
from mlreco.sparse.untraced import untraced


class NormActivation(nn.Module):
    """BatchNorm followed by LeakyReLU.

    Args:
        channels: number of features.
        leakiness: slope below zero.
    """

    def __init__(self, channels: int, leakiness: float) -> None:
        super().__init__()
        self.norm = VoxelBatchNorm(channels)
        self.leakiness = leakiness

    @untraced
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the normalised, rectified (N, C) features.

        Raises:
            TypeError: no tensor, such as a whole image.
        """
        require_features(self, features)
        return engine_of(features).norm_act(self, features)

    def by_parts(self, features: torch.Tensor) -> torch.Tensor:
        """Return the same from the normalisation and torch's activation, one after the other."""
        return nn.functional.leaky_relu(self.norm(features), self.leakiness)

    def is_as_made(self, device: torch.device = CPU_DEVICE) -> bool:
        """Tell whether its normalisation is as it is made; see :mod:`mlreco.sparse.as_made`."""
        return is_own(self, NormActivation, device) and is_made(self.norm, VoxelBatchNorm, device)
