"""Functions of voxels whose results do not depend, to the last bit, on the position of a voxel in its batch.

Torch computes most of a tensor with vector instructions and the remainder of each thread's part with the C library,
and the two round differently; matrix libraries treat the last rows differently, too. Without these functions the
results of an event would depend on the other events of its batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


def by_row(function: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor) -> torch.Tensor:
    """Apply an element-wise function to (N, ...) values, with the same rounding for each of them.

    On a CPU the values are laid out with gaps in memory: then torch computes all of them with the C library. On other
    devices the function is called as it is, since each value is computed in the same way there.
    """
    if values.device.type != "cpu":
        return function(values)
    apart = torch.stack([values, values], dim=-1)[..., 0]
    return function(apart).contiguous()


def softmax_by_row(logits: torch.Tensor) -> torch.Tensor:
    """Return the softmax over the few columns of (N, C), each row independent of the others to the last bit."""
    columns = logits.T.contiguous()
    shifted = columns - columns.amax(dim=0)
    powers = by_row(torch.exp, shifted)
    total = powers[0].clone()
    for power in powers[1:]:
        total += power
    return (powers / total).T.contiguous()


def linear_by_row(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return values @ weight.T + bias, (N, O) of (N, I), for few outputs; each row is independent of the others.

    Every product and every sum is rounded separately, which vector instructions and the C library do alike. For CPUs.
    """
    result = bias[:, None].expand(len(bias), len(values)).clone()
    for column, factors in zip(values.T.contiguous(), weight.T, strict=True):
        result += factors[:, None] * column
    return result.T.contiguous()
