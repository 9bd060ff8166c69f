"""In which type layers compute where torch's automatic mixed precision is on."""

from __future__ import annotations

from collections.abc import Callable

import torch


def autocast_dtype(tensor: torch.Tensor) -> torch.dtype:
    """Return the type in which a product with this tensor is made: that of autocast, or its own outside."""
    if torch.is_autocast_enabled(tensor.device.type):
        return torch.get_autocast_dtype(tensor.device.type)
    return tensor.dtype


def residual_sum(
    inner: torch.Tensor, shortcut: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor
) -> torch.Tensor:
    """Return inner + shortcut(features) of a residual block, in float32 where autocast computes in bf16.

    The sum runs through all blocks of a level: rounded to the 8 bits of bf16 each time, it loses what the blocks add
    (the ARI with the clustering of float32 was 0.990 instead of 0.997, on a hundred events).
    """
    if autocast_dtype(features) != torch.bfloat16:
        return inner + shortcut(features)
    with torch.autocast(features.device.type, enabled=False):
        return inner.float() + shortcut(features.float())
