"""U-Net inference on the CPU with BatchNorm, LeakyReLU and residual sums folded into the convolutions.

A convolution writes its output and, in the same pass, a copy with the next normalisation and activation applied. The
two halves of a concatenation (skip connection and upsampled features) stay two tensors, each with its part of the
weight. The results are those of the modules in :mod:`mlreco.sparse.layers.unet` in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from mlreco.sparse.cpu import kernels
from mlreco.sparse.cpu.ops.epilogue import Activation
from mlreco.sparse.cpu.ops.panels import Panels
from mlreco.sparse.cpu.remembered import remembered
from mlreco.sparse.cpu.threads.calls import FEW_BYTES, Calls, QueuedCalls
from mlreco.sparse.cpu.threads.thread_count import thread_count
from mlreco.sparse.maps.kernel_map import KernelMap
from mlreco.sparse.maps.sites import require_same_sites, sites_to_undo, strided_sites, submanifold_sites
from mlreco.sparse.tensor import SparseConvTensor

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.norm_activation import NormActivation
    from mlreco.sparse.layers.residual import ResidualBlock
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder


@dataclass(frozen=True)
class Part:
    """Some of the features of all rows, (N, C) float32: as they are, and normalised and activated."""

    raw: torch.Tensor
    active: torch.Tensor


def affine(layer: NormActivation, first: int = 0, last: int | None = None) -> Activation:
    """Return normalisation with running statistics, and activation, as one affine map and a slope.

    Args:
        layer: the normalisation and activation.
        first: first of the features that are wanted.
        last: the feature after the last, None for all.
    """
    norm = layer.norm

    def tensors() -> tuple[torch.Tensor, ...]:
        return norm.weight, norm.bias, norm.running_mean, norm.running_var

    def fold() -> Activation:
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        return kernels.affine(scale[first:last], shift[first:last], layer.leakiness)

    return remembered(layer, (first, last, norm.eps, layer.leakiness), tensors, fold)


def _packed(layer: SparseConvolution | nn.Linear, widths: tuple[int, ...], beside: int) -> list[Panels]:
    """Return the panels of a layer's weight, cut along the input features.

    Args:
        layer: a convolution, or a linear layer as the shortcut of one.
        widths: input features of each piece.
        beside: input features of the first weight of the convolution in which they are used; see ``pack_weight``.

    Raises:
        ValueError: the layer takes another number of features.
    """

    def pack() -> list[Panels]:
        if sum(widths) != layer.weight.shape[-1]:
            raise ValueError(f"{layer} takes {layer.weight.shape[-1]} features a site, the image has {sum(widths)}")
        weight = layer.weight.T[None] if isinstance(layer, nn.Linear) else layer.kernel_major_weight()
        return [kernels.pack_weight(part, beside) for part in weight.split(list(widths), dim=1)]

    return remembered(layer, (widths, beside), lambda: [layer.weight], pack)


def _run_block(
    block: ResidualBlock, parts: Sequence[Part], kernel_map: KernelMap, then: Activation | None, calls: Calls
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the output of a residual block, and the same after ``then``."""
    widths = tuple(part.raw.shape[1] for part in parts)
    first, *others = zip((part.active for part in parts), _packed(block.convolution_1, widths, widths[0]), strict=True)
    _, inner = kernels.conv_act(
        *first, kernel_map, beside=others, activation=affine(block.activation_2), keep_raw=False, calls=calls
    )
    width = inner.shape[1]
    (weight,) = _packed(block.convolution_2, (width,), width)
    if isinstance(block.shortcut, nn.Identity):
        return kernels.conv_act(inner, weight, kernel_map, residual=parts[0].raw, activation=then, calls=calls)
    shortcuts = list(zip((part.raw for part in parts), _packed(block.shortcut, widths, width), strict=True))
    return kernels.conv_act(inner, weight, kernel_map, shortcuts=shortcuts, activation=then, calls=calls)


def _map_of(block: ResidualBlock, image: SparseConvTensor) -> KernelMap:
    layer = block.convolution_1
    return submanifold_sites(image, layer.kernel_size, layer.indice_key)


def _run_level(
    blocks: nn.Sequential, parts: list[Part], kernel_map: KernelMap, then: Activation | None, calls: Calls
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Run the residual blocks of one level; return the output of the last, and the same after ``then``.

    The list is emptied, so that the features in it are freed as soon as the first block has used them.
    """
    for block, following in pairwise(blocks):
        parts[:] = [Part(*_run_block(block, parts, kernel_map, affine(following.activation_1), calls))]
    out = _run_block(blocks[-1], parts, kernel_map, then, calls)
    parts.clear()
    return out


def _convolve(
    layer: SparseConvolution, features: torch.Tensor, kernel_map: KernelMap, then: Activation, calls: Calls
) -> Part:
    width = features.shape[1]
    (weight,) = _packed(layer, (width,), width)
    return Part(*kernels.conv_act(features, weight, kernel_map, bias=layer.bias, activation=then, calls=calls))


def encode(encoder: UNetEncoder, image: SparseConvTensor) -> list[SparseConvTensor]:
    """Return what ``encoder(image)`` returns in evaluation mode."""
    levels = []
    with QueuedCalls(thread_count(), FEW_BYTES) as calls:
        kernel_map = submanifold_sites(image, encoder.input.kernel_size, encoder.input.indice_key)
        entry = affine(encoder.blocks[0][0].activation_1)
        parts = [_convolve(encoder.input, image.features.contiguous(), kernel_map, entry, calls)]
        for level, blocks in enumerate(encoder.blocks):
            last = level == len(encoder.downsamplings)
            kernel_map = _map_of(blocks[0], image)
            then = None if last else affine(encoder.activations[level])
            raw, active = _run_level(blocks, parts, kernel_map, then, calls)
            levels.append(image.replace_feature(raw))
            if not last:
                down = encoder.downsamplings[level]
                sites = strided_sites(image, down.kernel_size, down.stride, down.padding, down.indice_key)
                entry = affine(encoder.blocks[level + 1][0].activation_1)
                parts.append(_convolve(down, active, sites.kernel_map, entry, calls))
                image = sites.image(parts[0].raw, sites.coarse, image)
    return levels


def decode(decoder: UNetDecoder, levels: list[SparseConvTensor]) -> SparseConvTensor:
    """Return what ``decoder(levels)`` returns in evaluation mode."""
    image = levels[-1]
    with QueuedCalls(thread_count(), FEW_BYTES) as calls:
        active = kernels.activate(image.features, affine(decoder.activations[-1]), calls) if decoder.blocks else None
        for level in reversed(range(len(decoder.blocks))):
            up, blocks, skip = decoder.upsamplings[level], decoder.blocks[level], levels[level]
            sites = sites_to_undo(image, up.kernel_size, up.indice_key)
            require_same_sites(skip, sites.fine)
            entry, width = blocks[0].activation_1, skip.features.shape[1]
            parts = [Part(skip.features, kernels.activate(skip.features, affine(entry, 0, width), calls))]
            parts.append(_convolve(up, active, sites.kernel_map.transposed(), affine(entry, width), calls))
            kernel_map = _map_of(blocks[0], skip)
            then = affine(decoder.activations[level - 1]) if level else None
            raw, active = _run_level(blocks, parts, kernel_map, then, calls)
            image = skip.replace_feature(raw)
    return image
