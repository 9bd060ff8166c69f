"""Sparse convolution by one gather, matrix product and scatter per kernel offset, in plain torch.

The reference for the compiled engine, and the implementation for dtypes that it does not support. Deterministic:
within an offset every output row occurs once, and offsets are added in order.
"""

from __future__ import annotations

from itertools import pairwise

import torch

from mlreco.sparse.maps.kernel_map import KernelMap


def _pairs(kernel_map: KernelMap) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
    in_rows = torch.from_numpy(kernel_map.in_rows)
    out_rows = torch.from_numpy(kernel_map.out_rows)
    starts = kernel_map.starts.tolist()
    return [
        (k, in_rows[first:last], out_rows[first:last])
        for k, (first, last) in enumerate(pairwise(starts))
        if last > first
    ]


def conv_forward(features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Return the (n_out, Cout) output of a sparse convolution.

    Args:
        features: (n_in, Cin).
        weight: (K, Cin, Cout).
        kernel_map: the pairs of input and output rows of every offset.
    """
    out = features.new_zeros(kernel_map.n_out, weight.shape[2])
    for k, in_rows, out_rows in _pairs(kernel_map):
        out.index_add_(0, out_rows, features.index_select(0, in_rows) @ weight[k])
    return out


def conv_backward(
    features: torch.Tensor,
    grad_out: torch.Tensor,
    weight: torch.Tensor,
    kernel_map: KernelMap,
    needed: tuple[bool, bool] = (True, True),
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the gradients of the features, (n_in, Cin), and of the weight, (K, Cin, Cout), None where not needed."""
    grad_in, grad_weight = features.new_zeros(features.shape), features.new_zeros(weight.shape)
    for k, in_rows, out_rows in _pairs(kernel_map):
        at_pairs = grad_out.index_select(0, out_rows)
        if needed[0]:
            grad_in.index_add_(0, in_rows, at_pairs @ weight[k].T)
        if needed[1]:
            torch.matmul(features.index_select(0, in_rows).T, at_pairs, out=grad_weight[k])
    return grad_in if needed[0] else None, grad_weight if needed[1] else None


def norm_activation(
    features: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, eps: float, slope: float
) -> torch.Tensor:
    """Return leaky_relu(batch_norm(features)) as in training.

    Args:
        features: (N, C), N at least 2.
        scale: (C,) factor after normalisation.
        shift: (C,) offset after normalisation.
        eps: added to the variance.
        slope: of LeakyReLU on negative numbers.
    """
    normalised = torch.nn.functional.batch_norm(features, None, None, scale, shift, training=True, eps=eps)
    return torch.nn.functional.leaky_relu(normalised, slope)
