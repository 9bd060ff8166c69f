"""What a voxel gets, the same to the last bit wherever it stands in its batch.

Torch computes most of a tensor with vector instructions and the rest, at the end of each thread's part, with the C
library, which rounds other ones up; libraries for matrices treat the last rows in another way than the first. The
numbers of a voxel would depend on how many voxels stand beside it, that is on the other events of its batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


def by_row(function: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor) -> torch.Tensor:
    """Return what an element-wise function makes of (N, ...) values, independently of their neighbours.

    Numbers that do not lie side by side are all computed by the C library. On other devices than the CPU the function
    is called as it is: there every number has a thread of its own.
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
    """Return (N, O) values @ weight.T + bias of (N, I) values and few outputs, each row independent of the others.

    Products and sums are rounded one by one, as vector instructions and the C library both do.
    """
    result = bias[:, None].expand(len(bias), len(values)).clone()
    for column, factors in zip(values.T.contiguous(), weight.T, strict=True):
        result += factors[:, None] * column
    return result.T.contiguous()
