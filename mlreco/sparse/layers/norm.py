"""Batch normalisation over voxels, also for batches with fewer than two of them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from mlreco.sparse.as_made import CPU_DEVICE, is_own
from mlreco.sparse.tensor import require_features


class Meeting(Protocol):
    """Adds up numbers of the processes that share a batch in distributed training."""

    def total(self, sums: torch.Tensor) -> torch.Tensor:
        """Return the sum of a (K,) float64 tensor over the processes; gradients go back to all of them."""


class VoxelBatchNorm(nn.BatchNorm1d):
    """BatchNorm1d over the rows of (N, C); a batch of fewer than two voxels is normalised with the running statistics.

    Such a batch has no variance. Torch raises an error for it in training.

    Attributes:
        meeting: adds up the sums of all processes, whose voxels are normalised together in training; None where each
            process normalises its own voxels.
    """

    meeting: Meeting | None = None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the normalised (N, C) features.

        Raises:
            TypeError: no tensor, such as a whole image.
        """
        require_features(self, features)
        if self.training and self.meeting is not None:
            return self._with_others(features, self.meeting)
        if len(features) < 2:
            return nn.functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(features)

    def _with_others(self, features: torch.Tensor, meeting: Meeting) -> torch.Tensor:
        """Return the features normalised with mean and variance over the voxels of all processes.

        In double precision the variance may be computed from the mean of squares. The number of voxels stays on the
        device, so that the host does not wait for it.
        """
        wide = features.double()
        count = wide.new_full((1,), len(wide))
        sums = meeting.total(torch.cat([count, wide.sum(0), wide.square().sum(0)]))
        count, sums = sums[0].detach(), sums[1:].reshape(2, -1) / sums[0].detach().clamp(min=1)
        mean, variance = sums[0], (sums[1] - sums[0].square()).clamp(min=0)
        with torch.no_grad():
            running_mean, running_variance, momentum = self.count_batch()
            share = torch.where(count > 1, momentum, 0.0)
            running_mean.lerp_(mean.to(running_mean.dtype), share.to(running_mean.dtype))
            unbiased = variance * count / (count - 1).clamp(min=1)
            running_variance.lerp_(unbiased.to(running_variance.dtype), share.to(running_variance.dtype))
        mean = torch.where(count > 1, mean, running_mean.double())
        variance = torch.where(count > 1, variance, running_variance.double())
        scale = (variance + self.eps).rsqrt() * self.weight.double()
        return ((wide - mean) * scale + self.bias.double()).to(features.dtype)

    def count_batch(self) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Count a batch and return running mean, running variance and momentum, for kernels that update them.

        Autograd does not notice the update.
        """
        mean, variance = self.statistics()
        if self.num_batches_tracked is None or self.momentum is None:
            raise ValueError("a normalisation of voxels needs a count of batches and a momentum")
        self.num_batches_tracked.add_(1)
        return mean, variance, self.momentum

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return running mean and running variance, (C,).

        Raises:
            ValueError: it was made without them.
        """
        mean, variance = self.running_mean, self.running_var
        if mean is None or variance is None:
            raise ValueError("a normalisation of voxels needs running statistics")
        return mean, variance

    def is_as_made(self, device: torch.device = CPU_DEVICE) -> bool:
        """Tell whether it has float32 parameters and running statistics; see :mod:`mlreco.sparse.as_made`."""
        if not is_own(self, VoxelBatchNorm, device) or self.momentum is None or self.meeting is not None:
            return False
        if not self.track_running_stats:
            return False
        parameters, buffers, shape = self._parameters, self._buffers, (self.num_features,)
        wanted = ((parameters, "weight"), (parameters, "bias"), (buffers, "running_mean"), (buffers, "running_var"))
        for tensors, name in wanted:
            tensor = tensors.get(name)  # none where another tensor stands in its place
            if tensor is None or tensor.dtype != torch.float32 or tensor.shape != shape:
                return False
        return True
