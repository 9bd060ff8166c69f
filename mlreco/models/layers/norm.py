"""Batch normalisation over voxels that also takes the batches real data bring."""

from __future__ import annotations

import torch
from torch import nn

from mlreco.models.layers.sparse.cpu.normalisation import Running


class VoxelBatchNorm(nn.BatchNorm1d):
    """BatchNorm1d over the rows of (N, C); a batch of fewer than two voxels is normalised with the running statistics.

    Such a batch has no variance: torch refuses it in training, and would otherwise spoil the running statistics.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the normalised (N, C) features."""
        if len(features) < 2:
            return nn.functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(features)

    def running(self) -> Running:
        """Count a batch and return the running statistics, for a kernel that moves them as ``forward`` does.

        Torch is not told that these change.
        """
        self.num_batches_tracked.add_(1)
        return Running(self.running_mean, self.running_var, self.momentum)
