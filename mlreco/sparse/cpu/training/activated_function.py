"""Normalisation, activation and a sparse convolution in training as one autograd function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mlreco.double_backward import gradients_with_graph
from mlreco.sparse.cpu.ops.convolution import convolve_once
from mlreco.sparse.cpu.ops.normalisation import Norm, Running, gradients, normalise
from mlreco.sparse.cpu.ops.weight_gradient import begin_weight_gradient
from mlreco.sparse.cpu.threads.calls import calls_in_training
from mlreco.sparse.native.memory import floats
from mlreco.sparse.plain import kernels as plain
from mlreco.sparse.plain.convolution_function import kernel_major

if TYPE_CHECKING:
    from mlreco.sparse.maps.kernel_map import KernelMap


class ActivatedSettings(NamedTuple):
    """What an activated convolution depends on beside its parameters.

    Attributes:
        kernel_map: of the convolution.
        eps: added to the variance.
        slope: of LeakyReLU on negative numbers.
        running: running statistics, which the batch updates; N must be at least 2.
    """

    kernel_map: KernelMap
    eps: float
    slope: float
    running: Running | None = None


class _ActivatedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        settings: ActivatedSettings,
        features: torch.Tensor,
        scale: torch.Tensor,
        shift: torch.Tensor,
        weight: torch.Tensor,
    ) -> torch.Tensor:
        active = floats(*features.shape)
        norm = Norm(scale, shift, settings.eps, settings.slope)
        with calls_in_training() as calls:
            moments = normalise(features, norm, active, running=settings.running, calls=calls)
            out = convolve_once(active, kernel_major(weight), settings.kernel_map, calls=calls)
        ctx.save_for_backward(features, active, scale, shift, weight)
        ctx.settings, ctx.moments = settings, moments
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        features, active, scale, shift, weight = ctx.saved_tensors
        kernel_map, eps, slope, _ = ctx.settings
        if torch.is_grad_enabled():
            inputs, needed = (features, scale, shift, weight), ctx.needs_input_grad[1:]
            return None, *gradients_with_graph(lambda *x: _reference(ctx.settings, *x), inputs, needed, grad)
        grad, of_weight = grad.contiguous(), None
        norm, back = Norm(scale, shift, eps, slope), (kernel_major(weight).transpose(1, 2), kernel_map.transposed())
        with calls_in_training() as calls:
            if ctx.needs_input_grad[4]:
                of_weight = begin_weight_gradient(active, grad, kernel_map, calls).view(weight.shape)
            at_features = convolve_once(grad, *back, calls=calls)
            of_norm = gradients(features, at_features, ctx.moments, norm, at_features, calls=calls)
        return None, at_features, *of_norm.unbind(), of_weight


def _reference(
    settings: ActivatedSettings, features: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Return what ``_ActivatedConvolution`` computes, from differentiable torch operations."""
    active = plain.norm_activation(features, scale, shift, settings.eps, settings.slope)
    return plain.conv_forward(active, kernel_major(weight), settings.kernel_map)


def activated_convolution(
    features: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    weight: torch.Tensor,
    settings: ActivatedSettings,
) -> torch.Tensor:
    """Return the convolution of leaky_relu(batch_norm(features)), differentiable in features and all weights.

    Args:
        features: (n_in, Cin) float32 on the CPU, n_in at least 1.
        scale: (Cin,) float32 factor after normalisation.
        shift: (Cin,) float32 offset after normalisation.
        weight: (Cout, k, k, k, Cin) float32.
        settings: the rest.

    Returns:
        (n_out, Cout).
    """
    return _ActivatedConvolution.apply(settings, features.contiguous(), scale, shift, weight)
