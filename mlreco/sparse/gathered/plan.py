"""What inference derives from the weights of a network, layer by layer in the order of their use.

A plan is made once while the network does not change: a small event needs a hundred kernels, and looking up the weights
of each would take longer than the kernels do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from mlreco.sparse.gathered.parts import Affine, Convolution
from mlreco.sparse.weight_cache import remembered

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.members import Level as Blocks
    from mlreco.sparse.layers.norm_activation import NormActivation
    from mlreco.sparse.layers.residual import ResidualBlock
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder

Network = TypeVar("Network", bound=nn.Module)
Plan = TypeVar("Plan")


@dataclass(frozen=True)
class BlockPlan:
    """A residual block: its two convolutions, the second with the shortcut and what follows the block."""

    first: Convolution
    second: Convolution


@dataclass(frozen=True)
class EncoderPlan:
    """An encoder.

    Attributes:
        entry: the first convolution.
        levels: the blocks of every level.
        downs: the convolutions between them.
    """

    entry: Convolution
    levels: Sequence[Sequence[BlockPlan]]
    downs: Sequence[Convolution]


@dataclass(frozen=True)
class DecoderLevelPlan:
    """A level of a decoder.

    Attributes:
        skip: what follows the features that come from the encoder.
        up: the convolution from the coarser level.
        blocks: the blocks.
    """

    skip: Affine
    up: Convolution
    blocks: Sequence[BlockPlan]


@dataclass(frozen=True)
class DecoderPlan:
    """A decoder.

    Attributes:
        entry: normalisation and activation of the coarsest level.
        levels: the finest first.
    """

    entry: Affine
    levels: Sequence[DecoderLevelPlan]


def plan_of_encoder(encoder: UNetEncoder, dtype: torch.dtype) -> EncoderPlan:
    """Return the plan of an encoder whose products are of a dtype; the first one is float32."""

    def make() -> EncoderPlan:
        downs = [*encoder.activations, None]
        return EncoderPlan(
            _convolution(encoder.input, torch.float32, encoder.blocks[0][0].activation_1),
            [_level(blocks, dtype, after) for blocks, after in zip(encoder.blocks, downs, strict=True)],
            [
                _convolution(down, dtype, blocks[0].activation_1)
                for down, blocks in zip(encoder.downsamplings, list(encoder.blocks)[1:], strict=True)
            ],
        )

    return _planned(encoder, dtype, make)


def plan_of_decoder(decoder: UNetDecoder, dtype: torch.dtype) -> DecoderPlan:
    """Return the plan of a decoder, with at least one level, whose products are of a dtype."""

    def make() -> DecoderPlan:
        levels = []
        for number, (up, blocks) in enumerate(zip(decoder.upsamplings, decoder.blocks, strict=True)):
            entry = blocks[0].activation_1
            width = entry.norm.num_features - up.out_channels
            after = decoder.activations[number - 1] if number else None
            up_plan = Convolution(_copied(up.kernel_major_weight(), dtype), None, _affine(entry, width))
            levels.append(DecoderLevelPlan(_affine(entry, 0, width), up_plan, _level(blocks, dtype, after)))
        return DecoderPlan(_affine(decoder.activations[-1]), levels)

    return _planned(decoder, dtype, make)


def _planned(network: nn.Module, dtype: torch.dtype, make: Callable[[], Plan]) -> Plan:
    """Return a plan from the network's cache while its numbers are the same."""

    def numbers() -> list[Tensor]:
        constants = [
            number
            for module in network.modules()
            for name in ("eps", "leakiness")
            if (number := module.__dict__.get(name)) is not None
        ]
        return [*network.parameters(), *network.buffers(), torch.tensor(constants, dtype=torch.float64)]

    return remembered(network, ("plan", dtype), numbers, make)


def _level(blocks: Blocks, dtype: torch.dtype, after: NormActivation | None) -> list[BlockPlan]:
    """Return the plans of the blocks of a level, the last one followed by a normalisation."""
    following = [block.activation_1 for block in list(blocks)[1:]]
    return [_block(block, dtype, then) for block, then in zip(blocks, [*following, after], strict=True)]


def _block(block: ResidualBlock, dtype: torch.dtype, after: NormActivation | None) -> BlockPlan:
    shortcut = None if isinstance(block.shortcut, nn.Identity) else _copied(block.shortcut.weight.T, dtype)
    second = _convolution(block.convolution_2, dtype, after, shortcut)
    return BlockPlan(_convolution(block.convolution_1, dtype, block.activation_2), second)


def _convolution(
    layer: SparseConvolution, dtype: torch.dtype, then: NormActivation | None, shortcut: Tensor | None = None
) -> Convolution:
    return Convolution(_copied(layer.kernel_major_weight(), dtype), shortcut, None if then is None else _affine(then))


def _copied(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a weight in memory of its own, so that it starts where kernels read fastest."""
    return torch.empty_like(weight, dtype=dtype, memory_format=torch.contiguous_format).copy_(weight.detach())


def _affine(layer: NormActivation, first: int = 0, last: int | None = None) -> Affine:
    """Return normalisation and activation of the features from ``first`` on, up to ``last``."""
    norm = layer.norm
    mean, variance = norm.statistics()
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    shift = norm.bias - mean * scale
    scale, shift = (values[first:last].detach().clone() for values in (scale, shift))
    return Affine(scale, shift, float(layer.leakiness))
