"""U-Net inference on the CPU with BatchNorm, LeakyReLU and residual sums folded into the convolutions.

A convolution writes its output and, in the same pass, what the next normalisation and activation make of it. Features
that stand side by side (a skip connection and what comes from below) stay two tensors, with their shares of the weight.
Computes what the modules in :mod:`mlreco.models.layers.unet` compute in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from mlreco.models.layers.own_modules import are_own, is_own, is_own_convolution, nobody_watches_all
from mlreco.models.layers.remembered import remembered
from mlreco.models.layers.residual import ResidualBlock, is_own_activation, is_own_block
from mlreco.models.layers.sparse import (
    SparseConv3d,
    SparseConvolution,
    SparseConvTensor,
    SparseInverseConv3d,
    SubMConv3d,
    engine,
)
from mlreco.models.layers.sparse.cpu import backend as compiled
from mlreco.models.layers.sparse.cpu.calls import FEW_BYTES, Calls, InTurn
from mlreco.models.layers.sparse.cpu.epilogue import Activation
from mlreco.models.layers.sparse.cpu.panels import Panels
from mlreco.models.layers.sparse.cpu.thread_count import thread_count
from mlreco.models.layers.sparse.kernel_map import KernelMap
from mlreco.models.layers.sparse.sites import require_same_sites, sites_to_undo, strided_sites, submanifold_sites

if TYPE_CHECKING:
    from mlreco.models.layers.unet import UNetDecoder, UNetEncoder


@dataclass(frozen=True)
class Part:
    """Some of the features of the rows: as they are, and normalised and activated for the block that takes them."""

    raw: torch.Tensor
    active: torch.Tensor


def _packed(layer: SparseConvolution | nn.Linear, widths: tuple[int, ...], beside: int) -> list[Panels]:
    """Return a layer's weight as the engine reads it, cut along the input features.

    Args:
        layer: whose weight it is.
        widths: of the pieces.
        beside: input features of the first weight of the convolution that they are multiplied in.
    """

    def pack() -> list[Panels]:
        weight = layer.weight.T[None] if isinstance(layer, nn.Linear) else layer.kernel_major_weight()
        return [compiled.pack_weight(part, beside) for part in weight.split(list(widths), dim=1)]

    return remembered(layer, (widths, beside), [layer.weight], pack)


def _run_block(
    block: ResidualBlock, parts: Sequence[Part], kernel_map: KernelMap, then: Activation | None, calls: Calls
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the output of a residual block, and the same after ``then``."""
    widths = tuple(part.raw.shape[1] for part in parts)
    first, *others = zip((part.active for part in parts), _packed(block.convolution_1, widths, widths[0]), strict=True)
    _, inner = compiled.conv_fused(
        *first, kernel_map, beside=others, activation=block.activation_2.affine(), keep_raw=False, calls=calls
    )
    width = inner.shape[1]
    (weight,) = _packed(block.convolution_2, (width,), width)
    if isinstance(block.shortcut, nn.Identity):
        return compiled.conv_fused(inner, weight, kernel_map, residual=parts[0].raw, activation=then, calls=calls)
    shortcuts = list(zip((part.raw for part in parts), _packed(block.shortcut, widths, width), strict=True))
    return compiled.conv_fused(inner, weight, kernel_map, shortcuts=shortcuts, activation=then, calls=calls)


def _map_of(block: ResidualBlock, image: SparseConvTensor) -> KernelMap:
    layer = block.convolution_1
    return submanifold_sites(image, layer.kernel_size, layer.indice_key)


def _run_level(
    blocks: nn.Sequential, parts: list[Part], kernel_map: KernelMap, then: Activation | None, calls: Calls
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Run the residual blocks of one level; return the output of the last, and the same after ``then``.

    The list is emptied: on large images its features are not to be kept longer than the first block needs them.
    """
    for block, following in pairwise(blocks):
        parts[:] = [Part(*_run_block(block, parts, kernel_map, following.activation_1.affine(), calls))]
    out = _run_block(blocks[-1], parts, kernel_map, then, calls)
    parts.clear()
    return out


def _convolve(
    layer: SparseConvolution, features: torch.Tensor, kernel_map: KernelMap, then: Activation, calls: Calls
) -> Part:
    width = features.shape[1]
    (weight,) = _packed(layer, (width,), width)
    return Part(*compiled.conv_fused(features, weight, kernel_map, bias=layer.bias, activation=then, calls=calls))


def is_fused(network: UNetEncoder | UNetDecoder, features: torch.Tensor) -> bool:
    """Tell whether ``encode`` or ``decode`` computes what a network would: in evaluation, with layers as made here."""
    if not engine.is_inference(network, features) or not nobody_watches_all():
        return False
    return remembered(network, "is fused", (), lambda: _is_as_made(network))


def _is_as_made(network: UNetEncoder | UNetDecoder) -> bool:
    def is_level(blocks: nn.Module) -> bool:
        if not are_own(blocks, nn.Sequential, is_own_block):
            return False
        return len({block.convolution_1.kernel_size for block in blocks}) == 1

    if any(module.training for module in network.modules()):
        return False
    if not are_own(network.activations, nn.ModuleList, is_own_activation):
        return False
    if not are_own(network.blocks, nn.ModuleList, is_level):
        return False
    if hasattr(network, "downsamplings"):
        between, kind, levels = network.downsamplings, SparseConv3d, len(network.blocks) - 1
        if not is_own_convolution(network.input, SubMConv3d, bias=True):
            return False
    else:
        between, kind, levels = network.upsamplings, SparseInverseConv3d, len(network.blocks)
    if len(between) != levels or len(network.activations) != levels or not is_own(between, nn.ModuleList):
        return False
    return all(is_own_convolution(layer, kind, bias=True) for layer in between)


def encode(encoder: UNetEncoder, image: SparseConvTensor) -> list[SparseConvTensor]:
    """Return what ``encoder(image)`` returns in evaluation mode."""
    levels = []
    with InTurn(thread_count(), FEW_BYTES) as calls:
        kernel_map = submanifold_sites(image, encoder.input.kernel_size, encoder.input.indice_key)
        entry = encoder.blocks[0][0].activation_1.affine()
        parts = [_convolve(encoder.input, image.features.contiguous(), kernel_map, entry, calls)]
        for level, blocks in enumerate(encoder.blocks):
            last = level == len(encoder.downsamplings)
            kernel_map = _map_of(blocks[0], image)
            then = None if last else encoder.activations[level].affine()
            raw, active = _run_level(blocks, parts, kernel_map, then, calls)
            levels.append(image.replace_feature(raw))
            if not last:
                down = encoder.downsamplings[level]
                sites = strided_sites(image, down.kernel_size, down.stride, down.padding, down.indice_key)
                entry = encoder.blocks[level + 1][0].activation_1.affine()
                parts.append(_convolve(down, active, sites.kernel_map, entry, calls))
                image = sites.image(parts[0].raw, sites.coarse, image)
    return levels


def decode(decoder: UNetDecoder, levels: list[SparseConvTensor]) -> SparseConvTensor:
    """Return what ``decoder(levels)`` returns in evaluation mode."""
    image = levels[-1]
    with InTurn(thread_count(), FEW_BYTES) as calls:
        active = compiled.activate(image.features, decoder.activations[-1].affine(), calls) if decoder.blocks else None
        for level in reversed(range(len(decoder.blocks))):
            up, blocks, skip = decoder.upsamplings[level], decoder.blocks[level], levels[level]
            sites = sites_to_undo(image, up.kernel_size, up.indice_key)
            require_same_sites(skip, sites.fine)
            entry, width = blocks[0].activation_1, skip.features.shape[1]
            parts = [Part(skip.features, compiled.activate(skip.features, entry.affine(0, width), calls))]
            parts.append(_convolve(up, active, sites.kernel_map.transposed(), entry.affine(width), calls))
            kernel_map = _map_of(blocks[0], skip)
            then = decoder.activations[level - 1].affine() if level else None
            raw, active = _run_level(blocks, parts, kernel_map, then, calls)
            image = skip.replace_feature(raw)
    return image
