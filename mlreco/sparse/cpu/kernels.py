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
from mlreco.sparse.cpu.threads.calls import Calls, calls_at_once, calls_in_training
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
    return pack(weight.detach(), calls=calls_at_once(), beside=beside)


def conv_forward(features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Return the (n_out, Cout) output of a sparse convolution.

    Args:
        features: (n_in, Cin) float32.
        weight: (K, Cin, Cout) float32 of any strides: a permuted view of spconv's layout costs nothing.
        kernel_map: the pairs of input and output rows of every offset.
    """
    return convolve_once(features.detach().contiguous(), weight.detach(), kernel_map, calls=calls_at_once())


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
    grad_in = grad_weight = None
    features, grad_out = features.detach().contiguous(), grad_out.detach().contiguous()
    with calls_in_training() as calls:
        if needed[1]:
            grad_weight = begin_weight_gradient(features, grad_out, kernel_map, calls).permute(1, 2, 0)
        if needed[0]:
            back = weight.detach().transpose(1, 2), kernel_map.transposed()
            grad_in = convolve_once(grad_out, *back, calls=calls)
    return grad_in, grad_weight


def affine(scale: torch.Tensor, shift: torch.Tensor, slope: float) -> Activation:
    """Return the activation leaky_relu(x * scale + shift, slope) for (C,) float32 scale and shift."""
    return Activation(scale.detach().contiguous(), shift.detach().contiguous(), slope)


def activate(features: torch.Tensor, activation: Activation, calls: Calls) -> torch.Tensor:
    """Return the activated (N, C) float32 features, complete when ``calls`` has made the call."""
    out = calls.empty(*features.shape)
    normalisation.activate(features.contiguous(), activation, out, calls)
    return out


def conv_act(
    sources: Sequence[Source],
    kernel_map: KernelMap,
    calls: Calls,
    *,
    activation: Activation | None,
    shortcuts: Sequence[Source] = (),
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a convolution's output and its activated copy, written in one pass, for inference.

    Args:
        sources: features on the input rows, and their packed weights. The result is the convolution of all features
            concatenated, without a copy of them.
        kernel_map: the pairs of input and output rows of every offset.
        calls: makes the call.
        activation: applied to the output for the second result; without one, both are the same tensor.
        shortcuts: features on the output rows, and packed weights (1, C, Cout): their products are added.
        bias: (Cout,) added to the output.
        residual: (n_out, Cout) added to the output.

    Returns:
        (n_out, Cout) output, (n_out, Cout) activated output, complete when ``calls`` has made the call.
    """
    shape = kernel_map.n_out, sources[0].panels.packing.columns
    raw = calls.empty(*shape)
    active = None if activation is None else calls.empty(*shape)
    epilogue = Epilogue(
        None if bias is None else bias.contiguous(),
        None if residual is None else residual.contiguous(),
        activation,
    )
    convolve(sources, kernel_map, raw, active, shortcuts, epilogue, calls)
    return raw, raw if active is None else active


def activated_conv(
    sources: Sequence[Source], kernel_map: KernelMap, calls: Calls, activation: Activation
) -> torch.Tensor:
    """Return the second result of ``conv_act`` alone, without memory for the first."""
    active = calls.empty(kernel_map.n_out, sources[0].panels.packing.columns)
    convolve(sources, kernel_map, None, active, epilogue=Epilogue(activation=activation), calls=calls)
    return active
