"""Sparse convolution by one gather, matrix product and scatter per kernel offset, in plain torch.

The reference for the fast engine and the path for dtypes that it does not take. Deterministic: within an offset every
output row occurs once, and offsets are added in order.
"""

from __future__ import annotations

from itertools import pairwise

import torch

from mlreco.models.layers.sparse.kernel_map import KernelMap


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


def conv_backward_input(grad_out: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Return the (n_in, Cin) gradient of the features from the (n_out, Cout) gradient of the output."""
    grad_in = grad_out.new_zeros(kernel_map.n_in, weight.shape[1])
    for k, in_rows, out_rows in _pairs(kernel_map):
        grad_in.index_add_(0, in_rows, grad_out.index_select(0, out_rows) @ weight[k].T)
    return grad_in


def conv_backward_weight(features: torch.Tensor, grad_out: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Return the (K, Cin, Cout) gradient of the weight."""
    grad_weight = features.new_zeros(len(kernel_map.starts) - 1, features.shape[1], grad_out.shape[1])
    for k, in_rows, out_rows in _pairs(kernel_map):
        torch.matmul(features.index_select(0, in_rows).T, grad_out.index_select(0, out_rows), out=grad_weight[k])
    return grad_weight
