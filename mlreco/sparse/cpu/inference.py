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
from mlreco.sparse.cpu.ops.convolution import Source
from mlreco.sparse.cpu.ops.epilogue import Activation
from mlreco.sparse.cpu.ops.panels import Panels
from mlreco.sparse.cpu.threads.calls import Calls, calls_in_inference
from mlreco.sparse.maps.kernel_map import KernelMap
from mlreco.sparse.maps.sites import require_same_sites, sites_to_undo, strided_sites, submanifold_sites
from mlreco.sparse.tensor import SparseConvTensor
from mlreco.sparse.weight_cache import remembered

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.members import Level
    from mlreco.sparse.layers.norm_activation import NormActivation
    from mlreco.sparse.layers.residual import ResidualBlock
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder


@dataclass(frozen=True)
class Part:
    """Some of the features of all rows, (N, C) float32: as they are, and activated for the next layer.

    "Activated" includes the normalisation. Without a next layer both are the same tensor.
    """

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
        return norm.weight, norm.bias, *norm.statistics()

    def fold() -> Activation:
        mean, variance = norm.statistics()
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        shift = norm.bias - mean * scale
        return kernels.affine(scale[first:last], shift[first:last], layer.leakiness)

    return remembered(layer, (first, last, norm.eps, layer.leakiness), tensors, fold)


def _sources(
    layer: SparseConvolution | nn.Linear, features: Sequence[torch.Tensor], beside: int | None = None
) -> list[Source]:
    """Return tensors whose concatenation is the input of a layer, each with its part of the packed weight.

    Args:
        layer: a convolution, or a linear layer as the shortcut of one.
        features: (N, C) float32 tensors.
        beside: input features of the first weight of the convolution in which they are used, by default that of the
            first tensor; see ``pack_weight``.

    Raises:
        ValueError: the layer takes another number of features.
    """
    widths = tuple(part.shape[1] for part in features)
    among = widths[0] if beside is None else beside

    def pack() -> list[Panels]:
        if sum(widths) != layer.weight.shape[-1]:
            raise ValueError(f"{layer} takes {layer.weight.shape[-1]} features a site, the image has {sum(widths)}")
        weight = layer.weight.T[None] if isinstance(layer, nn.Linear) else layer.kernel_major_weight()
        return [kernels.pack_weight(part, among) for part in weight.split(list(widths), dim=1)]

    panels = remembered(layer, (widths, among), lambda: [layer.weight], pack)
    return [Source(part.contiguous(), packed) for part, packed in zip(features, panels, strict=True)]


def _run_block(
    block: ResidualBlock, parts: Sequence[Part], kernel_map: KernelMap, then: Activation | None, calls: Calls
) -> Part:
    """Return the output of a residual block, and the same after ``then``."""
    sources = _sources(block.convolution_1, [part.active for part in parts])
    inner = kernels.activated_conv(sources, kernel_map, calls, affine(block.activation_2))
    second = _sources(block.convolution_2, [inner])
    if isinstance(block.shortcut, nn.Identity):
        residual = parts[0].raw
        return Part(*kernels.conv_act(second, kernel_map, calls, activation=then, residual=residual))
    shortcuts = _sources(block.shortcut, [part.raw for part in parts], beside=inner.shape[1])
    return Part(*kernels.conv_act(second, kernel_map, calls, activation=then, shortcuts=shortcuts))


def _map_of(block: ResidualBlock, image: SparseConvTensor) -> KernelMap:
    layer = block.convolution_1
    return submanifold_sites(image, layer.kernel_size, layer.indice_key)


def _run_level(blocks: Level, parts: list[Part], kernel_map: KernelMap, then: Activation | None, calls: Calls) -> Part:
    """Run the residual blocks of one level; return the output of the last, and the same after ``then``.

    The list is emptied, so that the features in it are freed as soon as the first block has used them.
    """
    for block, following in pairwise(blocks):
        parts[:] = [_run_block(block, parts, kernel_map, affine(following.activation_1), calls)]
    out = _run_block(blocks[-1], parts, kernel_map, then, calls)
    parts.clear()
    return out


def _convolve(
    layer: SparseConvolution, features: torch.Tensor, kernel_map: KernelMap, then: Activation, calls: Calls
) -> Part:
    sources = _sources(layer, [features])
    return Part(*kernels.conv_act(sources, kernel_map, calls, activation=then, bias=layer.bias))


def encode(encoder: UNetEncoder, image: SparseConvTensor) -> list[SparseConvTensor]:
    """Return what ``encoder(image)`` returns in evaluation mode."""
    levels: list[SparseConvTensor] = []
    with calls_in_inference() as calls:
        kernel_map = submanifold_sites(image, encoder.input.kernel_size, encoder.input.indice_key)
        entry = affine(encoder.blocks[0][0].activation_1)
        parts = [_convolve(encoder.input, image.features, kernel_map, entry, calls)]
        for level, blocks in enumerate(encoder.blocks):
            last = level == len(encoder.downsamplings)
            kernel_map = _map_of(blocks[0], image)
            then = None if last else affine(encoder.activations[level])
            out = _run_level(blocks, parts, kernel_map, then, calls)
            levels.append(image.replace_feature(out.raw))
            if not last:
                down = encoder.downsamplings[level]
                sites = strided_sites(image, down.kernel_size, down.stride, down.padding, down.indice_key)
                entry = affine(encoder.blocks[level + 1][0].activation_1)
                parts.append(_convolve(down, out.active, sites.kernel_map, entry, calls))
                image = sites.image(parts[0].raw, sites.coarse, image)
    return levels


def decode(decoder: UNetDecoder, levels: list[SparseConvTensor]) -> SparseConvTensor:
    """Return what ``decoder(levels)`` returns in evaluation mode."""
    image = levels[-1]
    if not decoder.blocks:
        return image
    with calls_in_inference() as calls:
        active = kernels.activate(image.features, affine(decoder.activations[-1]), calls)
        for level in reversed(range(len(decoder.blocks))):
            up, blocks, skip = decoder.upsamplings[level], decoder.blocks[level], levels[level]
            sites = sites_to_undo(image, up.kernel_size, up.indice_key)
            require_same_sites(skip, sites.fine)
            entry, width = blocks[0].activation_1, skip.features.shape[1]
            parts = [Part(skip.features, kernels.activate(skip.features, affine(entry, 0, width), calls))]
            parts.append(_convolve(up, active, sites.kernel_map.transposed(), affine(entry, width), calls))
            kernel_map = _map_of(blocks[0], skip)
            then = affine(decoder.activations[level - 1]) if level else None
            out = _run_level(blocks, parts, kernel_map, then, calls)
            image, active = skip.replace_feature(out.raw), out.active
    return image
