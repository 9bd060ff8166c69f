"""A residual block in training as one differentiable function: less to write, to read again and to record.

The first convolution takes the moments for the second normalisation while its output is in the cache, the second one
adds the residual, and so does the gradient of the first normalisation. Going back, helper threads work on the gradients
of the weights while the calling thread is busy with what the next step needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mlreco.double_backward import gradients_with_graph
from mlreco.sparse.cpu.ops.column_moments import chunk_sums
from mlreco.sparse.cpu.ops.convolution import Source, convolve_once
from mlreco.sparse.cpu.ops.epilogue import Epilogue
from mlreco.sparse.cpu.ops.normalisation import Norm, Running, gradients, normalise
from mlreco.sparse.cpu.ops.panels import pack
from mlreco.sparse.cpu.ops.weight_gradient import begin_weight_gradient
from mlreco.sparse.cpu.threads.calls import QueuedCalls
from mlreco.sparse.cpu.threads.thread_count import thread_count
from mlreco.sparse.maps.submanifold import BLOCK
from mlreco.sparse.native.memory import floats
from mlreco.sparse.plain import kernels as plain
from mlreco.sparse.plain.convolution_function import kernel_major

if TYPE_CHECKING:
    from mlreco.sparse.maps.kernel_map import KernelMap


@dataclass(frozen=True)
class BlockSettings:
    """What a residual block knows beside its weights.

    Attributes:
        kernel_map: that of both convolutions.
        eps: added to the variance in both normalisations.
        slope: of LeakyReLU on negative numbers.
        running: statistics of both that the batch moves, N at least 2.
    """

    kernel_map: KernelMap
    eps: tuple[float, float]
    slope: float
    running: tuple[Running | None, Running | None] = (None, None)


class _ResidualBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        settings: BlockSettings,
        features: torch.Tensor,
        scale_1: torch.Tensor,
        shift_1: torch.Tensor,
        weight_1: torch.Tensor,
        scale_2: torch.Tensor,
        shift_2: torch.Tensor,
        weight_2: torch.Tensor,
        shortcut: torch.Tensor | None,
    ) -> torch.Tensor:
        kernel_map, (eps_1, eps_2), slope = settings.kernel_map, settings.eps, settings.slope
        threads = thread_count()
        norm_1, norm_2 = Norm(scale_1, shift_1, eps_1, slope), Norm(scale_2, shift_2, eps_2, slope)
        active_1 = floats(*features.shape)
        running_1, running_2 = settings.running
        with QueuedCalls(threads) as calls:
            moments_1 = normalise(features, norm_1, active_1, threads, running=running_1, calls=calls)
            sums = chunk_sums(len(features), len(weight_1), BLOCK)
            how = {"threads": threads, "calls": calls}
            inner = convolve_once(active_1, kernel_major(weight_1), kernel_map, Epilogue(moments=sums), **how)
            active_2 = floats(*inner.shape)
            moments_2 = normalise(inner, norm_2, active_2, threads, sums, BLOCK, running_2, calls)
            residual = Epilogue(residual=features if shortcut is None else None)
            products = ()
            if shortcut is not None:
                products = [Source(features, pack(shortcut.T[None], beside=len(weight_1), **how))]
            out = convolve_once(active_2, kernel_major(weight_2), kernel_map, residual, products, **how)

        ctx.save_for_backward(
            features, active_1, inner, active_2, scale_1, shift_1, weight_1, scale_2, shift_2, weight_2, shortcut
        )
        ctx.settings, ctx.moments = settings, (moments_1, moments_2)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        features, active_1, inner, active_2, *parameters, shortcut = ctx.saved_tensors
        scale_1, shift_1, weight_1, scale_2, shift_2, weight_2 = parameters
        if torch.is_grad_enabled():
            inputs, needed = (features, *parameters, shortcut), ctx.needs_input_grad[1:]
            return None, *gradients_with_graph(lambda *x: _reference(ctx.settings, *x), inputs, needed, grad)
        kernel_map, (eps_1, eps_2), slope = ctx.settings.kernel_map, ctx.settings.eps, ctx.settings.slope
        (moments_1, moments_2), needed, grad = ctx.moments, ctx.needs_input_grad, grad.contiguous()
        threads = thread_count()
        norm_1, norm_2 = Norm(scale_1, shift_1, eps_1, slope), Norm(scale_2, shift_2, eps_2, slope)
        back, grad_1, grad_2, grad_shortcut = kernel_map.transposed(), None, None, None
        with QueuedCalls(threads) as calls:
            how = {"threads": threads, "calls": calls}
            if needed[7]:
                grad_2 = begin_weight_gradient(active_2, grad, kernel_map, **how).view(weight_2.shape)
            if needed[8]:
                grad_shortcut = begin_weight_gradient(features, grad, kernel_map.pointwise, **how).view(shortcut.shape)
            beside = grad if shortcut is None else convolve_once(grad, shortcut[None], kernel_map.pointwise, **how)
            at_inner = convolve_once(grad, kernel_major(weight_2).transpose(1, 2), back, **how)
            norm_grads_2 = gradients(inner, at_inner, moments_2, norm_2, at_inner, **how)
            if needed[4]:
                grad_1 = begin_weight_gradient(active_1, at_inner, kernel_map, **how).view(weight_1.shape)
            at_features = convolve_once(at_inner, kernel_major(weight_1).transpose(1, 2), back, **how)
            norm_grads_1 = gradients(features, at_features, moments_1, norm_1, at_features, beside=beside, **how)
        return None, at_features, *norm_grads_1.unbind(), grad_1, *norm_grads_2.unbind(), grad_2, grad_shortcut


def _reference(
    settings: BlockSettings,
    features: torch.Tensor,
    scale_1: torch.Tensor,
    shift_1: torch.Tensor,
    weight_1: torch.Tensor,
    scale_2: torch.Tensor,
    shift_2: torch.Tensor,
    weight_2: torch.Tensor,
    shortcut: torch.Tensor | None,
) -> torch.Tensor:
    """Return what ``_ResidualBlock`` computes, from differentiable torch operations."""
    (eps_1, eps_2), slope = settings.eps, settings.slope
    inner = plain.norm_activation(features, scale_1, shift_1, eps_1, slope)
    inner = plain.conv_forward(inner, kernel_major(weight_1), settings.kernel_map)
    inner = plain.norm_activation(inner, scale_2, shift_2, eps_2, slope)
    inner = plain.conv_forward(inner, kernel_major(weight_2), settings.kernel_map)
    return inner + (features if shortcut is None else features @ shortcut.T)


def residual_block(
    features: torch.Tensor,
    norms: tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    weights: tuple[torch.Tensor, torch.Tensor],
    shortcut: torch.Tensor | None,
    settings: BlockSettings,
) -> torch.Tensor:
    """Return a residual block's output in training, differentiable in features and all weights.

    Twice batch normalisation, leaky ReLU and submanifold convolution; the features, or their product with the
    shortcut, are added.

    Args:
        features: (N, Cin) float32 on the CPU, N at least 1.
        norms: (C,) factor and (C,) offset after each normalisation.
        weights: (Cout, k, k, k, C) of both convolutions.
        shortcut: (Cout, Cin), or None where Cin is Cout.
        settings: the rest.

    Returns:
        (N, Cout).
    """
    (scale_1, shift_1), (scale_2, shift_2) = norms
    weight_1, weight_2 = weights
    return _ResidualBlock.apply(
        settings, features.contiguous(), scale_1, shift_1, weight_1, scale_2, shift_2, weight_2, shortcut
    )
