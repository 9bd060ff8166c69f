"""Sparse convolution on the CPU as one differentiable function."""

from __future__ import annotations

from typing import Any

import torch

from mlreco.double_backward import gradients_with_graph
from mlreco.models.layers.precision import autocast_dtype
from mlreco.models.layers.sparse import engine, plain
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
        kernel_map, needed = ctx.kernel_map, ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():
            inputs = features, weight
            return *gradients_with_graph(
                lambda x, w: plain.conv_forward(x, w, kernel_map), inputs, needed, grad_out
            ), None
        backward = engine.backend(features).conv_backward
        return *backward(features, grad_out.contiguous(), weight, kernel_map, needed), None


def kernel_major(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight (Cout, k, k, k, Cin) seen as (K, Cin, Cout), K offsets in row-major order of (kx, ky, kz)."""
    out_channels, *_, in_channels = weight.shape
    return weight.reshape(out_channels, -1, in_channels).permute(1, 2, 0)


def sparse_convolution(features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Return the output of a sparse convolution, differentiable in features and weight.

    Under autocast operands and result are rounded to its type and summed in float32, as tensor cores do: no faster
    here, but it shows on a CPU what mixed precision does to a network.

    Args:
        features: (n_in, Cin), on the CPU.
        weight: (K, Cin, Cout), same dtype.
        kernel_map: pairs of input and output rows by kernel offset.

    Returns:
        (n_out, Cout).
    """
    dtype = autocast_dtype(features)
    if dtype == features.dtype == weight.dtype:
        return _SparseConvolution.apply(features.contiguous(), weight, kernel_map)
    with torch.autocast(features.device.type, enabled=False):
        rounded, rounded_weight = features.to(dtype).float().contiguous(), weight.to(dtype).float()
        return _SparseConvolution.apply(rounded, rounded_weight, kernel_map).to(dtype)
