"""Batch normalisation in training followed by LeakyReLU, as one autograd function."""

from __future__ import annotations

from typing import Any

import torch

from mlreco.double_backward import gradients_with_graph
from mlreco.sparse.cpu.ops import normalisation
from mlreco.sparse.cpu.ops.column_moments import Moments
from mlreco.sparse.cpu.ops.normalisation import Norm, Running
from mlreco.sparse.cpu.threads.calls import calls_at_once
from mlreco.sparse.native.memory import floats
from mlreco.sparse.plain import kernels as plain


class _NormActivation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        eps: float,
        slope: float,
        running: Running | None,
    ) -> tuple[torch.Tensor, Moments]:
        out = floats(*features.shape)
        norm = Norm(weight, bias, eps, slope)
        moments = normalisation.normalise(features, norm, out, running=running, calls=calls_at_once())
        ctx.save_for_backward(features, weight, bias)
        ctx.moments, ctx.eps, ctx.slope = moments, eps, slope
        return out, moments

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, _: None) -> tuple[torch.Tensor | None, ...]:
        features, weight, bias = inputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            eps, slope, needed = ctx.eps, ctx.slope, ctx.needs_input_grad[:3]
            again = gradients_with_graph(
                lambda x, w, b: plain.norm_activation(x, w, b, eps, slope), inputs, needed, grad
            )
            return *again, None, None, None
        norm, out = Norm(weight, bias, ctx.eps, ctx.slope), floats(*features.shape)
        found = normalisation.gradients(features, grad.contiguous(), ctx.moments, norm, out, calls=calls_at_once())
        return out, *found.unbind(), None, None, None


def batch_norm_leaky_relu(
    features: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
    slope: float,
    running: Running | None = None,
) -> tuple[torch.Tensor, Moments]:
    """Return leaky_relu(batch_norm(features)) as in training, differentiable in features, weight and bias.

    Args:
        features: (N, C) float32 on the CPU, N at least 1.
        weight: (C,) float32 factor after normalisation.
        bias: (C,) float32 offset after normalisation.
        eps: added to the variance.
        slope: of LeakyReLU on negative numbers.
        running: running statistics, which the batch updates; N must be at least 2.

    Returns:
        (N, C) output; mean and variance of the columns.
    """
    return _NormActivation.apply(features.contiguous(), weight, bias, eps, slope, running)
