"""U-Net inference on the CPU with BatchNorm, LeakyReLU and residual sums folded into the convolutions.

A convolution writes its output and, in the same pass, what the next normalisation and activation make of it. Computes
what the modules in :mod:`mlreco.models.layers.unet` compute in evaluation mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from mlreco.models.layers.residual import NormActivation, ResidualBlock
from mlreco.models.layers.sparse import SparseConvolution, SparseConvTensor, engine
from mlreco.models.layers.sparse.cpu import backend as compiled
from mlreco.models.layers.sparse.kernel_map import KernelMap
from mlreco.models.layers.sparse.sites import StridedSites, strided_sites, submanifold_sites

if TYPE_CHECKING:
    from mlreco.models.layers.unet import UNetDecoder, UNetEncoder

Activation = tuple[torch.Tensor, torch.Tensor, float]
"""Scale (C,), shift (C,) and slope: leaky_relu(x * scale + shift, slope)."""


def applicable(module: nn.Module, features: torch.Tensor) -> bool:
    """Tell whether a module in evaluation mode, without gradients, is computed by the compiled engine."""
    return not (module.training or torch.is_grad_enabled()) and engine.is_compiled(features)


def folded(activation: NormActivation) -> Activation:
    """Return normalisation with running statistics and activation as one affine map and a slope."""
    norm = activation.norm
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale, activation.leakiness


def _packed(layer: SparseConvolution) -> object:
    """Return the layer's weight as the engine reads it, packed again only when the weight has changed."""
    stamp = (layer.weight.data_ptr(), layer.weight._version)
    cached = layer.__dict__.get("_packed_weight")
    if cached is None or cached[0] != stamp:
        cached = (stamp, compiled.pack_weight(layer.kernel_major_weight()))
        layer.__dict__["_packed_weight"] = cached
    return cached[1]


def _convolve(
    layer: SparseConvolution,
    features: torch.Tensor,
    kernel_map: KernelMap,
    then: NormActivation | None,
    residual: torch.Tensor | None = None,
    keep_raw: bool = True,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    return compiled.conv_fused(
        features,
        _packed(layer),
        kernel_map,
        bias=layer.bias,
        residual=residual,
        activation=None if then is None else folded(then),
        keep_raw=keep_raw,
    )


def _run_blocks(
    blocks: nn.Sequential,
    raw: torch.Tensor,
    active: torch.Tensor,
    kernel_map: KernelMap,
    then: NormActivation | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Run residual blocks of one level.

    Args:
        blocks: the blocks.
        raw: (N, C) input of the first block.
        active: (N, C) the same after the first block's normalisation and activation.
        kernel_map: map of the level.
        then: what normalises and activates the output of the last block.

    Returns:
        output of the last block, and the same after ``then``.
    """
    block: ResidualBlock
    for number, block in enumerate(blocks):
        following = blocks[number + 1].activation_1 if number + 1 < len(blocks) else then
        _, inner = _convolve(block.convolution_1, active, kernel_map, block.activation_2, keep_raw=False)
        raw, active = _convolve(block.convolution_2, inner, kernel_map, following, residual=block.shortcut(raw))
    return raw, active


def encode(encoder: UNetEncoder, image: SparseConvTensor) -> list[SparseConvTensor]:
    """Return what ``encoder(image)`` returns in evaluation mode."""
    levels = []
    kernel_map = submanifold_sites(image, 3, encoder.input.indice_key)
    features = image.features.contiguous()
    raw, active = _convolve(encoder.input, features, kernel_map, encoder.blocks[0][0].activation_1)
    for level, blocks in enumerate(encoder.blocks):
        last = level == len(encoder.downsamplings)
        then = None if last else encoder.activations[level]
        kernel_map = submanifold_sites(image, 3, blocks[0].convolution_1.indice_key)
        raw, active = _run_blocks(blocks, raw, active, kernel_map, then)
        levels.append(image.replace_feature(raw))
        if not last:
            down = encoder.downsamplings[level]
            sites = strided_sites(image, down.kernel_size, down.stride, down.padding, down.indice_key)
            following = encoder.blocks[level + 1][0].activation_1
            raw, active = _convolve(down, active, sites.kernel_map, following)
            image = SparseConvTensor(raw, sites.coarse, sites.coarse_shape, image.batch_size, image.indice_dict)
    return levels


def decode(decoder: UNetDecoder, levels: list[SparseConvTensor]) -> SparseConvTensor:
    """Return what ``decoder(levels)`` returns in evaluation mode."""
    image = levels[-1]
    active = _activate(image.features, decoder.activations[-1]) if decoder.blocks else None
    for level in reversed(range(len(decoder.blocks))):
        up, blocks, skip = decoder.upsamplings[level], decoder.blocks[level], levels[level]
        sites: StridedSites = skip.indice_dict[("strided", up.indice_key)]
        raised, _ = _convolve(up, active, sites.kernel_map.transposed(), None)
        joined = torch.cat([skip.features, raised], dim=1)
        kernel_map = submanifold_sites(skip, 3, blocks[0].convolution_1.indice_key)
        then = decoder.activations[level - 1] if level else None
        raw, active = _run_blocks(blocks, joined, _activate(joined, blocks[0].activation_1), kernel_map, then)
        image = skip.replace_feature(raw)
    return image


def _activate(features: torch.Tensor, activation: NormActivation) -> torch.Tensor:
    scale, shift, slope = folded(activation)
    return nn.functional.leaky_relu(torch.addcmul(shift, features, scale), slope)
