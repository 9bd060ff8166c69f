"""Convolutions of the CPU engine on torch tensors.

``conv_forward`` and ``conv_backward`` have the signatures of those in :mod:`mlreco.sparse.plain.kernels`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mlreco.sparse.cpu.ops import normalisation
from mlreco.sparse.cpu.ops.convolution import Source, convolve, convolve_once
from mlreco.sparse.cpu.ops.epilogue import Activation, Epilogue
from mlreco.sparse.cpu.ops.panels import Panels, pack
from mlreco.sparse.cpu.ops.weight_gradient import begin_weight_gradient
from mlreco.sparse.cpu.threads.calls import DIRECT, Calls, calls_in_training
from mlreco.sparse.cpu.threads.thread_count import thread_count
from mlreco.sparse.maps.kernel_map import KernelMap


def supports(features: torch.Tensor) -> bool:
    """Tell whether there are kernels for these features: float32 on the CPU."""
    return features.dtype == torch.float32 and features.device.type == "cpu"


def pack_weight(weight: torch.Tensor, beside: int | None = None) -> Panels:
    """Return the panels of a (K, Cin, Cout) float32 weight of any strides, for use in many calls.

    Args:
        weight: the weight.
        beside: where a convolution has several weights, the input channels of the first: all of them are cut into the
            column groups of the first.
    """
    return pack(weight.detach(), thread_count(), beside=beside)


def conv_forward(features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Return the (n_out, Cout) output of a sparse convolution.

    Args:
        features: (n_in, Cin) float32.
        weight: (K, Cin, Cout) float32 of any strides: a permuted view of spconv's layout costs nothing.
        kernel_map: the pairs of input and output rows of every offset.
    """
    return convolve_once(features.detach().contiguous(), weight.detach(), kernel_map, threads=thread_count())


def conv_backward(
    features: torch.Tensor,
    grad_out: torch.Tensor,
    weight: torch.Tensor,
    kernel_map: KernelMap,
    needed: tuple[bool, bool] = (True, True),
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the gradients of the features, (n_in, Cin), and of the weight, (K, Cin, Cout), None where not needed.

    Helper threads compute the gradient of the weight, a view of memory in spconv's order (Cout, K, Cin), while the
    calling thread computes that of the features.
    """
    threads, grad_in, grad_weight = thread_count(), None, None
    features, grad_out = features.detach().contiguous(), grad_out.detach().contiguous()
    with calls_in_training(threads) as calls:
        if needed[1]:
            grad_weight = begin_weight_gradient(features, grad_out, kernel_map, threads, calls).permute(1, 2, 0)
        if needed[0]:
            back = weight.detach().transpose(1, 2), kernel_map.transposed()
            grad_in = convolve_once(grad_out, *back, threads=threads, calls=calls)
    return grad_in, grad_weight


def affine(scale: torch.Tensor, shift: torch.Tensor, slope: float) -> Activation:
    """Return the activation leaky_relu(x * scale + shift, slope) for (C,) float32 scale and shift."""
    return Activation(scale.detach().contiguous(), shift.detach().contiguous(), slope)


def activate(features: torch.Tensor, activation: Activation, calls: Calls = DIRECT) -> torch.Tensor:
    """Return the activated (N, C) float32 features, complete when ``calls`` has made the call."""
    out = calls.empty(*features.shape)
    normalisation.activate(features.contiguous(), activation, out, thread_count(), calls)
    return out


def conv_act(
    features: torch.Tensor,
    weight: torch.Tensor | Panels,
    kernel_map: KernelMap,
    *,
    beside: Sequence[tuple[torch.Tensor, Panels]] = (),
    shortcuts: Sequence[tuple[torch.Tensor, Panels]] = (),
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    activation: Activation | None = None,
    keep_raw: bool = True,
    calls: Calls = DIRECT,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return a convolution's output and its activated copy, written in one pass, for inference.

    Args:
        features: (n_in, Cin) float32.
        weight: (K, Cin, Cout) float32, or packed.
        kernel_map: the pairs of input and output rows of every offset.
        beside: more features on the input rows, and their packed weights. The result is the convolution of all features
            concatenated, without a copy of them.
        shortcuts: features on the output rows, and packed weights (1, C, Cout): their products are added.
        bias: (Cout,) added to the output.
        residual: (n_out, Cout) added to the output.
        activation: applied to the output for the second result.
        keep_raw: whether to return the output before the activation, too.
        calls: makes the call.

    Returns:
        (n_out, Cout) output or None, (n_out, Cout) activated output or None, complete when ``calls`` has made the call.
    """
    panels = weight if isinstance(weight, Panels) else pack_weight(weight)
    shape = kernel_map.n_out, panels.packing.columns
    raw = calls.empty(*shape) if keep_raw or activation is None else None
    active = calls.empty(*shape) if activation is not None else None
    convolve(
        [Source(x.contiguous(), w) for x, w in ((features, panels), *beside)],
        kernel_map,
        raw,
        active,
        [Source(x.contiguous(), w) for x, w in shortcuts],
        Epilogue(
            bias if bias is None else bias.contiguous(),
            residual if residual is None else residual.contiguous(),
            activation,
        ),
        thread_count(),
        calls,
    )
    return raw, active
