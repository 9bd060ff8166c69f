"""The last layers of a network."""

from __future__ import annotations

import torch
from torch import nn

from mlreco.models.layers.by_row import linear_by_row
from mlreco.sparse import NormActivation, all_are_watched, is_own


class Head(nn.Sequential):
    """Normalisation, activation and a linear layer, in float32 also where autocast is on.

    What leaves the network (embeddings, margins, seediness, scores) would otherwise be rounded to steps of several
    voxels.

    Args:
        in_channels: features of a voxel.
        out_channels: numbers wanted of a voxel.
        leakiness: slope of LeakyReLU below zero.
    """

    def __init__(self, in_channels: int, out_channels: int, leakiness: float) -> None:
        super().__init__(NormActivation(in_channels, leakiness), nn.Linear(in_channels, out_channels))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, out_channels) of (N, in_channels), at least float32."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(torch.promote_types(features.dtype, torch.float32))
            linear = self[1]
            if not features.is_cpu:  # there every column of linear_by_row would be a kernel to start
                return super().forward(features)
            if torch.is_grad_enabled() or all_are_watched() or not is_own(linear, nn.Linear):
                return super().forward(features)
            activated = self[0](features)
            return linear_by_row(activated, linear.weight, linear.bias)
