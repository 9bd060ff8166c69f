"""Sparse convolution on the CPU as one differentiable function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from mlreco.double_backward import gradients_with_graph
from mlreco.sparse.maps.kernel_map import KernelMap
from mlreco.sparse.plain import kernels as plain
from mlreco.sparse.precision import autocast_dtype


class ConvolutionKernels(Protocol):
    """A module that computes sparse convolutions, without recording anything."""

    def conv_forward(self, features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
        """Return the (n_out, Cout) output for (n_in, Cin) features and a (K, Cin, Cout) weight."""

    def conv_backward(
        self,
        features: torch.Tensor,
        grad_out: torch.Tensor,
        weight: torch.Tensor,
        kernel_map: KernelMap,
        needed: tuple[bool, bool] = (True, True),
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return the gradients of features and weight, None where not needed."""


class _SparseConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap, kernels: ConvolutionKernels
    ) -> torch.Tensor:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map, ctx.kernels = kernel_map, kernels
        return kernels.conv_forward(features, weight, kernel_map)

    @staticmethod
    def backward(ctx: Any, grad_out: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        features, weight = inputs = ctx.saved_tensors
        kernel_map, needed = ctx.kernel_map, ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():
            again = gradients_with_graph(lambda x, w: plain.conv_forward(x, w, kernel_map), inputs, needed, grad_out)
            return *again, None, None
        return *ctx.kernels.conv_backward(features, grad_out.contiguous(), weight, kernel_map, needed), None, None


def kernel_major(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight (Cout, k, k, k, Cin) seen as (K, Cin, Cout), K offsets in row-major order of (kx, ky, kz)."""
    out_channels, *_, in_channels = weight.shape
    return weight.reshape(out_channels, -1, in_channels).permute(1, 2, 0)


def sparse_convolution(
    features: torch.Tensor,
    weight: torch.Tensor,
    kernel_map: KernelMap,
    kernels: Callable[[torch.Tensor], ConvolutionKernels],
) -> torch.Tensor:
    """Return the output of a sparse convolution, differentiable in features and weight.

    Under autocast, operands and result are rounded to its dtype and sums are float32, as on tensor cores. That is not
    faster here; it lets mixed precision be studied on a CPU.

    Args:
        features: (n_in, Cin), on the CPU.
        weight: (K, Cin, Cout), same dtype.
        kernel_map: pairs of input and output rows by kernel offset.
        kernels: returns the implementation for given features.

    Returns:
        (n_out, Cout).
    """
    dtype = autocast_dtype(features)
    if dtype == features.dtype == weight.dtype:
        return _SparseConvolution.apply(features.contiguous(), weight, kernel_map, kernels(features))
    with torch.autocast(features.device.type, enabled=False):
        rounded, rounded_weight = features.to(dtype).float().contiguous(), weight.to(dtype).float()
        return _SparseConvolution.apply(rounded, rounded_weight, kernel_map, kernels(rounded)).to(dtype)
