"""The dtype in which layers compute under torch's automatic mixed precision (autocast)."""

from __future__ import annotations

from collections.abc import Callable

import torch


def autocast_dtype(tensor: torch.Tensor) -> torch.dtype:
    """Return the dtype of a product with this tensor: that of autocast where it is on, else the tensor's own."""
    if torch.is_autocast_enabled(tensor.device.type):
        return torch.get_autocast_dtype(tensor.device.type)
    return tensor.dtype


def residual_sum(
    inner: torch.Tensor, shortcut: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor
) -> torch.Tensor:
    """Return inner + shortcut(features) of a residual block, in float32 where autocast computes in bf16.

    The residual sum of a level accumulates over its blocks. Rounded to the 8 significant bits of bf16 after every
    block, it loses part of what each adds: on a hundred events the ARI between the clusterings of bf16 and float32 was
    0.990 with a bf16 sum and 0.997 with a float32 sum.
    """
    if autocast_dtype(features) != torch.bfloat16:
        return inner + shortcut(features)
    with torch.autocast(features.device.type, enabled=False):
        return inner.float() + shortcut(features.float())
