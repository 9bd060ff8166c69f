"""A residual block in training as one differentiable function: less to write, to read again and to record.

The first convolution takes the moments for the second normalisation while its output is in the cache, the second one
adds the residual, and so does the gradient of the first normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from mlreco.models.layers.sparse.cpu import normalisation
from mlreco.models.layers.sparse.cpu.column_moments import combined
from mlreco.models.layers.sparse.cpu.epilogue import Epilogue
from mlreco.models.layers.sparse.cpu.forward import Source, convolution, convolve
from mlreco.models.layers.sparse.cpu.memory import aligned_empty
from mlreco.models.layers.sparse.cpu.norm_function import array_of
from mlreco.models.layers.sparse.cpu.panels import pack
from mlreco.models.layers.sparse.cpu.walks import BLOCK
from mlreco.models.layers.sparse.cpu.weight_gradient import weight_gradient

if TYPE_CHECKING:
    from mlreco.models.layers.sparse.kernel_map import KernelMap


@dataclass(frozen=True)
class BlockSettings:
    """What a residual block knows beside its weights.

    Attributes:
        kernel_map: that of both convolutions.
        eps: added to the variance in both normalisations.
        slope: of LeakyReLU on negative numbers.
    """

    kernel_map: KernelMap
    eps: tuple[float, float]
    slope: float


def _kernel_major(weight: torch.Tensor) -> np.ndarray:
    """Return a weight (Cout, k, k, k, Cin) seen as (K, Cin, Cout)."""
    out_channels, *_, in_channels = weight.shape
    return array_of(weight).reshape(out_channels, -1, in_channels).transpose(1, 2, 0)


def _weight_gradient(x: np.ndarray, grad: np.ndarray, kernel_map: KernelMap, like: torch.Tensor) -> torch.Tensor:
    gradient = weight_gradient(x, grad, kernel_map, torch.get_num_threads())
    return torch.from_numpy(gradient.transpose(2, 0, 1)).reshape(like.shape)


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
    ) -> tuple[torch.Tensor, ...]:
        threads, kernel_map, (eps_1, eps_2) = torch.get_num_threads(), settings.kernel_map, settings.eps
        x, rows = array_of(features), len(features)
        moments_1 = normalisation.moments(x, threads)
        activation = normalisation.affine(moments_1, array_of(scale_1), array_of(shift_1), eps_1, settings.slope)
        active_1 = torch.empty(features.shape)
        normalisation.activate(x, activation, active_1.numpy(), threads)

        inner, active_2, out = (torch.empty(rows, len(weight_1)) for _ in range(3))
        sums = aligned_empty((-(-rows // BLOCK), 2, len(weight_1)))
        source = Source(active_1.numpy(), pack(_kernel_major(weight_1), threads, keep=False))
        convolve([source], kernel_map, inner.numpy(), epilogue=Epilogue(moments=sums), threads=threads)
        moments_2 = combined(sums, rows, BLOCK)
        activation = normalisation.affine(moments_2, array_of(scale_2), array_of(shift_2), eps_2, settings.slope)
        normalisation.activate(inner.numpy(), activation, active_2.numpy(), threads)

        residual = features.detach() if shortcut is None else features.detach() @ shortcut.detach().T
        source = Source(active_2.numpy(), pack(_kernel_major(weight_2), threads, keep=False))
        epilogue = Epilogue(residual=array_of(residual))
        convolve([source], kernel_map, out.numpy(), epilogue=epilogue, threads=threads)

        ctx.save_for_backward(
            features, active_1, inner, active_2, scale_1, shift_1, weight_1, scale_2, shift_2, weight_2, shortcut
        )
        ctx.settings, ctx.moments = settings, (moments_1, moments_2)
        statistics = [torch.from_numpy(m.astype(np.float32)) for s in ctx.moments for m in (s.mean, s.variance)]
        ctx.mark_non_differentiable(*statistics)
        return out, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        features, active_1, inner, active_2, *parameters, shortcut = ctx.saved_tensors
        scale_1, shift_1, weight_1, scale_2, shift_2, weight_2 = parameters
        kernel_map, (eps_1, eps_2), slope = ctx.settings.kernel_map, ctx.settings.eps, ctx.settings.slope
        needed, threads, grad = ctx.needs_input_grad, torch.get_num_threads(), grad.contiguous()

        def back(out_gradient: np.ndarray, weight: torch.Tensor) -> np.ndarray:
            packed = pack(_kernel_major(weight).swapaxes(1, 2), threads, keep=False)
            return convolution(out_gradient, packed, kernel_map.transposed(), threads)

        grad_2 = _weight_gradient(array_of(active_2), array_of(grad), kernel_map, weight_2) if needed[7] else None
        at_inner = back(array_of(grad), weight_2)
        norm_2 = (ctx.moments[1], array_of(scale_2), array_of(shift_2), eps_2, slope)
        norm_grads_2 = normalisation.gradients(array_of(inner), at_inner, *norm_2, at_inner, threads)
        grad_1 = _weight_gradient(array_of(active_1), at_inner, kernel_map, weight_1) if needed[4] else None
        at_features = back(at_inner, weight_1)
        beside = grad if shortcut is None else grad @ shortcut
        norm_1 = (ctx.moments[0], array_of(scale_1), array_of(shift_1), eps_1, slope)
        x = array_of(features)
        norm_grads_1 = normalisation.gradients(x, at_features, *norm_1, at_features, threads, array_of(beside))
        grad_shortcut = grad.T @ features if needed[8] else None
        (of_scale_1, of_shift_1), (of_scale_2, of_shift_2) = (
            map(torch.from_numpy, found) for found in (norm_grads_1, norm_grads_2)
        )
        return (
            *(None, torch.from_numpy(at_features)),
            *(of_scale_1, of_shift_1, grad_1, of_scale_2, of_shift_2, grad_2),
            grad_shortcut,
        )


def residual_block(
    features: torch.Tensor,
    norms: tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    weights: tuple[torch.Tensor, torch.Tensor],
    shortcut: torch.Tensor | None,
    settings: BlockSettings,
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return a residual block's output in training, differentiable in features and all weights.

    Twice batch normalisation, leaky ReLU and submanifold convolution; the features, or their product with the
    shortcut, are added.

    Args:
        features: (N, Cin) float32 on the CPU, N at least 1.
        norms: (C,) factor and (C,) offset after each normalisation.
        weights: (Cout, k, k, k, C) of both convolutions.
        shortcut: (Cout, Cin), or None where Cin is Cout.
        settings: kernel map, eps and slope.

    Returns:
        (N, Cout) output; (C,) mean and (C,) biased variance of the columns, for the running statistics, twice.
    """
    (scale_1, shift_1), (scale_2, shift_2) = norms
    weight_1, weight_2 = weights
    out, *statistics = _ResidualBlock.apply(
        settings, features.contiguous(), scale_1, shift_1, weight_1, scale_2, shift_2, weight_2, shortcut
    )
    return out, tuple(statistics[:2]), tuple(statistics[2:])
