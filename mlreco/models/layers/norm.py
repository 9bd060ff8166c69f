"""Batch normalisation over voxels that also takes the batches real data bring."""

from __future__ import annotations

import torch
from torch import nn

from mlreco.models.layers.sparse.cpu import normalisation
from mlreco.models.layers.sparse.cpu.column_moments import Moments
from mlreco.models.layers.sparse.cpu.memory import array_of


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

    def track(self, moments: Moments, rows: int) -> None:
        """Take the moments of a batch of so many rows, at least 2, into the running statistics, as ``forward`` does.

        Torch is not told that these change.
        """
        self.num_batches_tracked.add_(1)
        running = array_of(self.running_mean), array_of(self.running_var)
        normalisation.track(moments, rows, *running, self.momentum)
