"""Batch normalisation over voxels that also takes the batches real data bring."""

from __future__ import annotations

import torch
from torch import nn

from mlreco.sparse.as_made import is_own


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

    def count_batch(self) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Count a batch and return running mean, variance and momentum, for code that moves them as ``forward`` does.

        Torch is not told that these change.
        """
        self.num_batches_tracked.add_(1)
        return self.running_mean, self.running_var, self.momentum

    def is_as_made(self) -> bool:
        """Tell whether it has float32 parameters and running statistics; see :mod:`mlreco.sparse.as_made`."""
        if not is_own(self, VoxelBatchNorm) or self.momentum is None:
            return False
        numbers = self.weight, self.bias, self.running_mean, self.running_var
        return all(tensor is not None and tensor.dtype == torch.float32 for tensor in numbers)
