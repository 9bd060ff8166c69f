"""Functions of voxels whose results do not depend, to the last bit, on the position of a voxel in its batch.

Torch computes most of a tensor with vector instructions and the remainder of each thread's part with the C library,
and the two round differently; matrix libraries treat the last rows differently, too. Without these functions the
results of an event would depend on the other events of its batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mlreco.compiled import compiled

_ROWS = 64
"""Rows that :func:`linear_by_row` computes together."""


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

    Every product and every sum is rounded separately, one after the other. For CPUs, without gradients.
    """
    result = torch.empty(len(values), len(bias), dtype=values.dtype)
    rows, factors, shifts = (tensor.detach().to(values.dtype).contiguous().numpy() for tensor in (values, weight, bias))
    _linear(rows, factors, shifts, result.numpy())
    return result


@compiled
def _linear(values: np.ndarray, weight: np.ndarray, bias: np.ndarray, result: np.ndarray) -> None:
    """Write values @ weight.T + bias; the innermost loops run over rows, so that they are vectorised."""
    inputs = weight.shape[1]
    columns = np.empty((inputs, _ROWS), values.dtype)
    sums = np.empty(_ROWS, values.dtype)
    columns[:] = 0
    for first in range(0, len(values), _ROWS):
        count = min(_ROWS, len(values) - first)
        for row in range(count):
            for i in range(inputs):
                columns[i, row] = values[first + row, i]
        for o in range(len(weight)):
            sums[:] = bias[o]
            for i in range(inputs):
                factor = weight[o, i]
                for row in range(_ROWS):
                    sums[row] += factor * columns[i, row]
            for row in range(count):
                result[first + row, o] = sums[row]
