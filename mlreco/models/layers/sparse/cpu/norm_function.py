"""Batch normalisation in training followed by LeakyReLU, as one differentiable function of torch tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mlreco.models.layers.sparse.cpu import normalisation


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """Return the numbers of a tensor on the CPU, C-contiguous, without its gradient."""
    return tensor.detach().contiguous().numpy()


class _NormActivation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float, slope: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        threads, x = torch.get_num_threads(), array_of(features)
        moments = normalisation.moments(x, threads)
        activation = normalisation.affine(moments, array_of(weight), array_of(bias), eps, slope)
        out = torch.empty(features.shape)
        normalisation.activate(x, activation, out.numpy(), threads)
        ctx.save_for_backward(features, weight, bias)
        ctx.moments, ctx.eps, ctx.slope = moments, eps, slope
        mean, variance = (torch.from_numpy(m.astype(np.float32)) for m in (moments.mean, moments.variance))
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        features, weight, bias = (array_of(tensor) for tensor in ctx.saved_tensors)
        out = torch.empty(features.shape)
        arguments = (ctx.moments, weight, bias, ctx.eps, ctx.slope, out.numpy(), torch.get_num_threads())
        grad_weight, grad_bias = normalisation.gradients(features, array_of(grad), *arguments)
        return out, torch.from_numpy(grad_weight), torch.from_numpy(grad_bias), None, None


def batch_norm_leaky_relu(
    features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float, slope: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return leaky_relu(batch_norm(features)) as in training, differentiable in features, weight and bias.

    Args:
        features: (N, C) float32 on the CPU, N at least 1.
        weight: (C,) float32 factor after normalisation.
        bias: (C,) float32 offset after normalisation.
        eps: added to the variance.
        slope: of LeakyReLU on negative numbers.

    Returns:
        (N, C) output, (C,) mean and (C,) biased variance of the columns, for the running statistics.
    """
    return _NormActivation.apply(features, weight, bias, eps, slope)
