"""Batch normalisation over voxels that also takes the batches real data bring."""

from __future__ import annotations

import torch
from torch import nn


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

    @torch.no_grad()
    def track(self, mean: torch.Tensor, variance: torch.Tensor, rows: int) -> None:
        """Take (C,) mean and biased variance of a batch into the running statistics, as ``forward`` does.

        Args:
            mean: of the columns.
            variance: mean squared deviation of the columns; the running variance is that of an unbiased estimate.
            rows: how many there are, at least 2.
        """
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (rows / (rows - 1)), self.momentum)
