"""Batch normalisation in training followed by LeakyReLU, as one differentiable function of torch tensors."""

from __future__ import annotations

from typing import Any

import torch

from mlreco.models.layers.sparse.cpu import backend, normalisation
from mlreco.models.layers.sparse.cpu.column_moments import Moments
from mlreco.models.layers.sparse.cpu.memory import array_of
from mlreco.models.layers.sparse.cpu.thread_count import thread_count


def activated(
    features: torch.Tensor, moments: Moments, weight: torch.Tensor, bias: torch.Tensor, eps: float, slope: float
) -> torch.Tensor:
    """Return leaky_relu(normalised features * weight + bias), (N, C) float32, given the moments of the columns."""
    return backend.activate(features, normalisation.affine(moments, array_of(weight), array_of(bias), eps, slope))


def norm_gradients(
    features: torch.Tensor,
    grad: torch.Tensor,
    moments: Moments,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
    slope: float,
    out: torch.Tensor,
    beside: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write the gradient of the features of ``activated`` to ``out`` and return those of weight and bias, (C,).

    Args:
        features: as in ``activated``.
        grad: (N, C) float32 gradient of its output.
        moments: as in ``activated``.
        weight: as in ``activated``.
        bias: as in ``activated``.
        eps: as in ``activated``.
        slope: as in ``activated``.
        out: (N, C) float32, contiguous; may be grad.
        beside: (N, C) float32, contiguous, added to the gradient of the features.
    """
    norm = moments, array_of(weight), array_of(bias), eps, slope
    threads = thread_count()
    found = normalisation.gradients(features.contiguous(), grad.contiguous(), *norm, out, threads, beside)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


@torch.no_grad()
def track(moments: Moments, rows: int, running_mean: torch.Tensor, running_var: torch.Tensor, momentum: float) -> None:
    """Take moments of so many rows, at least 2, into running statistics, (C,), as torch's batch normalisation does.

    Torch is not told that these change.
    """
    normalisation.track(moments, rows, array_of(running_mean), array_of(running_var), momentum)


class _NormActivation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float, slope: float
    ) -> tuple[torch.Tensor, Moments]:
        moments = normalisation.moments(features.contiguous(), thread_count())
        out = activated(features, moments, weight, bias, eps, slope)
        ctx.save_for_backward(features, weight, bias)
        ctx.moments, ctx.eps, ctx.slope = moments, eps, slope
        return out, moments

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        features, weight, bias = ctx.saved_tensors
        out = torch.empty(features.shape)
        found = norm_gradients(features, grad, ctx.moments, weight, bias, ctx.eps, ctx.slope, out=out)
        return out, *found, None, None


def batch_norm_leaky_relu(
    features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float, slope: float
) -> tuple[torch.Tensor, Moments]:
    """Return leaky_relu(batch_norm(features)) as in training, differentiable in features, weight and bias.

    Args:
        features: (N, C) float32 on the CPU, N at least 1.
        weight: (C,) float32 factor after normalisation.
        bias: (C,) float32 offset after normalisation.
        eps: added to the variance.
        slope: of LeakyReLU on negative numbers.

    Returns:
        (N, C) output; what was found of the columns, for the running statistics.
    """
    return _NormActivation.apply(features, weight, bias, eps, slope)
