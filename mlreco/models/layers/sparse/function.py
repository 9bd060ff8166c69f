"""Sparse convolution on the CPU as one differentiable function."""

from __future__ import annotations

from typing import Any

import torch

from mlreco.models.layers.sparse import engine
from mlreco.models.layers.sparse.kernel_map import KernelMap


class _SparseConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        return engine.backend(features).conv_forward(features, weight, kernel_map)

    @staticmethod
    def backward(ctx: Any, grad_out: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        features, weight = ctx.saved_tensors
        backend, grad_out = engine.backend(features), grad_out.contiguous()
        grad_features = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_features = backend.conv_backward_input(grad_out, weight, ctx.kernel_map)
        if ctx.needs_input_grad[1]:
            grad_weight = backend.conv_backward_weight(features, grad_out, ctx.kernel_map)
        return grad_features, grad_weight, None


def sparse_convolution(features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Return the output of a sparse convolution, differentiable in features and weight.

    Args:
        features: (n_in, Cin), on the CPU.
        weight: (K, Cin, Cout), same dtype.
        kernel_map: pairs of input and output rows by kernel offset.

    Returns:
        (n_out, Cout).
    """
    return _SparseConvolution.apply(features.contiguous(), weight, kernel_map)
