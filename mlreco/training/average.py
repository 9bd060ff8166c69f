"""The exponential moving average of the weights, which is often better than the last weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Return the average of a model, to be updated after every step with ``update_parameters(model)``.

    After n updates the average keeps min(decay, (1 + n) / (10 + n)) of itself, so that it does not stay at the random
    weights of the beginning. Running statistics are averaged like parameters.

    Args:
        model: what is trained.
        decay: between 0 and 1; 0.999 averages over about a thousand steps.
    """
    return AveragedModel(model, multi_avg_fn=_mean(decay), use_buffers=True)


def _mean(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    @torch.no_grad()
    def mean(averages: Sequence[Tensor], values: Sequence[Tensor], updates: Tensor | int) -> None:
        count = int(updates)
        share = 1.0 - min(decay, (1 + count) / (10 + count))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), share)
            else:
                average.copy_(value)

    return mean
