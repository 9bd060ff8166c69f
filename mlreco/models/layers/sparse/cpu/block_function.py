"""A residual block in training as one differentiable function: less to write, to read again and to record.

The first convolution takes the moments for the second normalisation while its output is in the cache, the second one
adds the residual, and so does the gradient of the first normalisation. Going back, helper threads work on the gradients
of the weights while the calling thread is busy with what the next step needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from mlreco.models.layers.sparse.cpu import backend, normalisation
from mlreco.models.layers.sparse.cpu.column_moments import Moments, chunk_sums
from mlreco.models.layers.sparse.cpu.epilogue import Epilogue
from mlreco.models.layers.sparse.cpu.forward import Source, convolve
from mlreco.models.layers.sparse.cpu.normalisation import Norm
from mlreco.models.layers.sparse.cpu.panels import pack
from mlreco.models.layers.sparse.cpu.thread_count import thread_count
from mlreco.models.layers.sparse.cpu.walks import BLOCK
from mlreco.models.layers.sparse.function import kernel_major

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


def _convolve(
    features: torch.Tensor,
    weight: torch.Tensor,
    kernel_map: KernelMap,
    epilogue: Epilogue,
    shortcuts: Sequence[Source] = (),
) -> torch.Tensor:
    threads, out = thread_count(), torch.empty(len(features), len(weight))
    source = Source(features, pack(kernel_major(weight).numpy(), threads, keep=False))
    convolve([source], kernel_map, out, shortcuts=shortcuts, epilogue=epilogue, threads=threads)
    return out


@contextmanager
def _weight_gradient(
    features: torch.Tensor, grad: torch.Tensor, kernel_map: KernelMap, weight: torch.Tensor | None, needed: bool
) -> Iterator[torch.Tensor | None]:
    """Give the gradient of a weight, which is complete at the end of the block; None where it is not needed."""
    if not needed:
        yield None
        return
    with backend.conv_backward_weight_meanwhile(features, grad, kernel_map) as gradient:
        yield gradient.permute(2, 0, 1).view(weight.shape)


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
    ) -> tuple[torch.Tensor, Moments, Moments]:
        kernel_map, (eps_1, eps_2), slope = settings.kernel_map, settings.eps, settings.slope
        threads, active_1 = thread_count(), torch.empty(features.shape)
        moments_1 = normalisation.normalise(features, Norm(scale_1, shift_1, eps_1, slope), active_1, threads)
        sums = chunk_sums(len(features), len(weight_1), BLOCK)
        inner = _convolve(active_1, weight_1, kernel_map, Epilogue(moments=sums))
        active_2 = torch.empty(inner.shape)
        moments_2 = normalisation.normalise(inner, Norm(scale_2, shift_2, eps_2, slope), active_2, threads, sums, BLOCK)
        if shortcut is None:
            out = _convolve(active_2, weight_2, kernel_map, Epilogue(residual=features))
        else:
            product = Source(features, backend.pack_weight(shortcut.T[None]))
            out = _convolve(active_2, weight_2, kernel_map, Epilogue(), [product])

        ctx.save_for_backward(
            features, active_1, inner, active_2, scale_1, shift_1, weight_1, scale_2, shift_2, weight_2, shortcut
        )
        ctx.settings, ctx.moments = settings, (moments_1, moments_2)
        return out, moments_1, moments_2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        features, active_1, inner, active_2, *parameters, shortcut = ctx.saved_tensors
        scale_1, shift_1, weight_1, scale_2, shift_2, weight_2 = parameters
        kernel_map, (eps_1, eps_2), slope = ctx.settings.kernel_map, ctx.settings.eps, ctx.settings.slope
        (moments_1, moments_2), needed, grad = ctx.moments, ctx.needs_input_grad, grad.contiguous()
        threads = thread_count()

        with (
            _weight_gradient(features, grad, kernel_map.pointwise, shortcut, needed[8]) as grad_shortcut,
            _weight_gradient(active_2, grad, kernel_map, weight_2, needed[7]) as grad_2,
        ):
            beside = grad
            if shortcut is not None:
                beside = backend.conv_backward_input(grad, shortcut.T[None], kernel_map.pointwise)
            at_inner = backend.conv_backward_input(grad, kernel_major(weight_2), kernel_map)
            norm = Norm(scale_2, shift_2, eps_2, slope)
            norm_grads_2 = normalisation.gradients(inner, at_inner, moments_2, norm, at_inner, threads)
            with _weight_gradient(active_1, at_inner, kernel_map, weight_1, needed[4]) as grad_1:
                at_features = backend.conv_backward_input(at_inner, kernel_major(weight_1), kernel_map)
                norm = Norm(scale_1, shift_1, eps_1, slope)
                norm_grads_1 = normalisation.gradients(
                    features, at_features, moments_1, norm, at_features, threads, beside
                )
        return None, at_features, *norm_grads_1.unbind(), grad_1, *norm_grads_2.unbind(), grad_2, grad_shortcut


def residual_block(
    features: torch.Tensor,
    norms: tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    weights: tuple[torch.Tensor, torch.Tensor],
    shortcut: torch.Tensor | None,
    settings: BlockSettings,
) -> tuple[torch.Tensor, Moments, Moments]:
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
        (N, Cout) output; what both normalisations found of the columns, for the running statistics.
    """
    (scale_1, shift_1), (scale_2, shift_2) = norms
    weight_1, weight_2 = weights
    return _ResidualBlock.apply(
        settings, features.contiguous(), scale_1, shift_1, weight_1, scale_2, shift_2, weight_2, shortcut
    )
