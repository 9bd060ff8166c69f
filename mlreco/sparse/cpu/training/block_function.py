"""A residual block in training as one autograd function: fewer intermediate tensors, and one node of the graph.

The first convolution takes the moments for the second normalisation while its output is in the cache, the second one
adds the residual, and so does the gradient of the first normalisation. In the backward pass helper threads compute the
gradients of the weights while the calling thread computes what the next step needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mlreco.double_backward import gradients_with_graph
from mlreco.sparse.cpu.ops.column_moments import chunk_sums
from mlreco.sparse.cpu.ops.convolution import Source, convolve_once
from mlreco.sparse.cpu.ops.epilogue import Epilogue
from mlreco.sparse.cpu.ops.normalisation import Norm, Running, gradients, normalise
from mlreco.sparse.cpu.ops.panels import pack
from mlreco.sparse.cpu.ops.weight_gradient import begin_weight_gradient
from mlreco.sparse.cpu.threads.calls import calls_in_training
from mlreco.sparse.maps.submanifold import BLOCK
from mlreco.sparse.native.memory import floats
from mlreco.sparse.plain import kernels as plain
from mlreco.sparse.plain.convolution_function import kernel_major

if TYPE_CHECKING:
    from mlreco.sparse.maps.kernel_map import KernelMap


class BlockParameters(NamedTuple):
    """What a residual block learns.

    Attributes:
        scale_1, shift_1: (Cin,) factor and offset after the first normalisation.
        weight_1: (Cout, k, k, k, Cin) of the first convolution.
        scale_2, shift_2: (Cout,) factor and offset after the second normalisation.
        weight_2: (Cout, k, k, k, Cout) of the second convolution.
        shortcut: (Cout, Cin), or None where Cin is Cout.
    """

    scale_1: torch.Tensor
    shift_1: torch.Tensor
    weight_1: torch.Tensor
    scale_2: torch.Tensor
    shift_2: torch.Tensor
    weight_2: torch.Tensor
    shortcut: torch.Tensor | None

    def norms(self, settings: BlockSettings) -> tuple[Norm, Norm]:
        """Return both normalisations."""
        (eps_1, eps_2), slope = settings.eps, settings.slope
        return Norm(self.scale_1, self.shift_1, eps_1, slope), Norm(self.scale_2, self.shift_2, eps_2, slope)


@dataclass(frozen=True)
class BlockSettings:
    """What a residual block depends on beside its parameters.

    Attributes:
        kernel_map: that of both convolutions.
        eps: added to the variance in both normalisations.
        slope: of LeakyReLU on negative numbers.
        running: running statistics of both, which the batch updates; N must be at least 2.
    """

    kernel_map: KernelMap
    eps: tuple[float, float]
    slope: float
    running: tuple[Running | None, Running | None] = (None, None)


class _ResidualBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, settings: BlockSettings, features: torch.Tensor, *parameters: torch.Tensor | None
    ) -> torch.Tensor:
        of = BlockParameters._make(parameters)
        (norm_1, norm_2), (running_1, running_2), kernel_map = of.norms(settings), settings.running, settings.kernel_map
        active_1 = floats(*features.shape)
        with calls_in_training() as calls:
            moments_1 = normalise(features, norm_1, active_1, running=running_1, calls=calls)
            sums = chunk_sums(features.shape[0], of.weight_1.shape[0], BLOCK)
            inner = convolve_once(active_1, kernel_major(of.weight_1), kernel_map, Epilogue(moments=sums), calls=calls)
            active_2 = floats(*inner.shape)
            moments_2 = normalise(inner, norm_2, active_2, sums=sums, chunk=BLOCK, running=running_2, calls=calls)
            residual = Epilogue(residual=features if of.shortcut is None else None)
            products: list[Source] = []
            if of.shortcut is not None:
                products = [Source(features, pack(of.shortcut.T[None], beside=len(of.weight_1), calls=calls))]
            out = convolve_once(active_2, kernel_major(of.weight_2), kernel_map, residual, products, calls=calls)

        ctx.save_for_backward(features, active_1, inner, active_2, *parameters)
        ctx.settings, ctx.moments = settings, (moments_1, moments_2)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        features, active_1, inner, active_2, *parameters = ctx.saved_tensors
        of, kernel_map = BlockParameters._make(parameters), ctx.settings.kernel_map
        needed = BlockParameters._make(ctx.needs_input_grad[2:])
        if torch.is_grad_enabled():
            inputs, wanted = (features, *parameters), ctx.needs_input_grad[1:]
            return None, *gradients_with_graph(lambda *x: _reference(ctx.settings, *x), inputs, wanted, grad)
        (norm_1, norm_2), (moments_1, moments_2), grad = of.norms(ctx.settings), ctx.moments, grad.contiguous()
        back, grad_1, grad_2, grad_shortcut = kernel_map.transposed(), None, None, None
        with calls_in_training() as calls:
            if needed.weight_2:
                grad_2 = begin_weight_gradient(active_2, grad, kernel_map, calls=calls).view(of.weight_2.shape)
            if needed.shortcut and of.shortcut is not None:
                of_shortcut = begin_weight_gradient(features, grad, kernel_map.pointwise, calls=calls)
                grad_shortcut = of_shortcut.view(of.shortcut.shape)
            beside = grad
            if of.shortcut is not None:
                beside = convolve_once(grad, of.shortcut[None], kernel_map.pointwise, calls=calls)
            at_inner = convolve_once(grad, kernel_major(of.weight_2).transpose(1, 2), back, calls=calls)
            norm_grads_2 = gradients(inner, at_inner, moments_2, norm_2, at_inner, calls=calls)
            if needed.weight_1:
                grad_1 = begin_weight_gradient(active_1, at_inner, kernel_map, calls=calls).view(of.weight_1.shape)
            at_features = convolve_once(at_inner, kernel_major(of.weight_1).transpose(1, 2), back, calls=calls)
            norm_grads_1 = gradients(features, at_features, moments_1, norm_1, at_features, beside=beside, calls=calls)
        return None, at_features, *norm_grads_1.unbind(), grad_1, *norm_grads_2.unbind(), grad_2, grad_shortcut


def _reference(settings: BlockSettings, features: torch.Tensor, *parameters: torch.Tensor | None) -> torch.Tensor:
    """Return what ``_ResidualBlock`` computes, from differentiable torch operations."""
    of, (eps_1, eps_2), slope = BlockParameters._make(parameters), settings.eps, settings.slope
    inner = plain.norm_activation(features, of.scale_1, of.shift_1, eps_1, slope)
    inner = plain.conv_forward(inner, kernel_major(of.weight_1), settings.kernel_map)
    inner = plain.norm_activation(inner, of.scale_2, of.shift_2, eps_2, slope)
    inner = plain.conv_forward(inner, kernel_major(of.weight_2), settings.kernel_map)
    return inner + (features if of.shortcut is None else features @ of.shortcut.T)


def residual_block(features: torch.Tensor, parameters: BlockParameters, settings: BlockSettings) -> torch.Tensor:
    """Return a residual block's output in training, differentiable in features and all parameters.

    Twice batch normalisation, leaky ReLU and submanifold convolution; the features, or their product with the
    shortcut, are added.

    Args:
        features: (N, Cin) float32 on the CPU, N at least 1.
        parameters: float32 on the CPU.
        settings: the rest.

    Returns:
        (N, Cout).
    """
    return _ResidualBlock.apply(settings, features.contiguous(), *parameters)
