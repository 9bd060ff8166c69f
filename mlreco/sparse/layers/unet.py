"""Encoder and decoder of a sparse U-Net with residual blocks (UResNet).

Architecture: Domine and Terao, arXiv:1903.05663; two decoders on one encoder: Koh et al., arXiv:2007.03083.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from mlreco.sparse.as_made import CPU_DEVICE, is_list_of, is_made, is_own
from mlreco.sparse.convolutions import SparseConv3d, SparseInverseConv3d, SubMConv3d
from mlreco.sparse.engine import engine_of
from mlreco.sparse.layers.members import Level, Members, in_sequence, members
from mlreco.sparse.layers.norm_activation import NormActivation
from mlreco.sparse.layers.residual import ResidualBlock, activate_and_convolve
from mlreco.sparse.maps.sites import require_same_sites
from mlreco.sparse.tensor import SparseConvTensor, require_image, require_images
from mlreco.sparse.untraced import untraced

Filters = int | Sequence[int]
"""Features at the finest level, which grow linearly from there, or those of every level."""


def level_channels(filters: Filters, depth: int) -> list[int]:
    """Return the number of features at each of ``depth`` levels.

    Args:
        filters: features at the finest level, which grow linearly; or a list with those of every level.
        depth: number of levels.

    Raises:
        ValueError: fewer than one feature or level, or a list of another length.
    """
    channels = [filters * level for level in range(1, depth + 1)] if isinstance(filters, int) else list(filters)
    if depth < 1 or min(channels, default=0) < 1:
        raise ValueError(f"filters and depth must be at least 1, not {filters} and {depth}")
    if len(channels) != depth:
        raise ValueError(f"filters {channels} are those of {len(channels)} levels, and depth is {depth}")
    return channels


def padded_shape(spatial_shape: Sequence[int], depth: int) -> list[int]:
    """Return the shape rounded up so that ``depth - 1`` halvings lose no voxel at the border."""
    step = 2 ** (depth - 1)
    return [-(-n // step) * step for n in spatial_shape]


def _blocks(in_channels: int, channels: int, reps: int, leakiness: float, number: int) -> Level:
    if reps < 1:
        raise ValueError(f"reps must be at least 1, not {reps}")
    widths = [in_channels] + [channels] * reps
    key = f"level_{number}"
    return in_sequence(ResidualBlock(a, b, leakiness, key) for a, b in pairwise(widths))


def _is_level(blocks: Level, device: torch.device) -> bool:
    """Tell whether a module is the residual blocks of one level as they are made."""
    if not is_list_of(blocks, nn.Sequential, ResidualBlock, device):
        return False
    if any(before.out_channels != after.in_channels for before, after in pairwise(blocks)):
        return False
    return len({block.convolution_1.kernel_size for block in blocks}) == 1


def _are_levels(levels: Members[Level], device: torch.device) -> bool:
    """Tell whether a module is the residual blocks of several levels as they are made."""
    container: object = levels
    return is_own(container, nn.ModuleList) and all(_is_level(level, device) for level in levels)


class UNetEncoder(nn.Module):
    """From an image to its features at every level, the finest first.

    Args:
        in_channels: features of an input voxel.
        filters: features at the finest level, or a list with those of every level.
        depth: number of levels.
        reps: residual blocks a level.
        leakiness: slope of LeakyReLU below zero.
    """

    def __init__(self, in_channels: int, filters: Filters, depth: int, reps: int = 2, leakiness: float = 0.33) -> None:
        super().__init__()
        channels = level_channels(filters, depth)
        self.input = SubMConv3d(in_channels, channels[0], 3, bias=False, indice_key="level_0")
        self.blocks = members([_blocks(c, c, reps, leakiness, level) for level, c in enumerate(channels)])
        self.activations = members([NormActivation(c, leakiness) for c in channels[:-1]])
        self.downsamplings = members(
            [
                SparseConv3d(fine, coarse, 2, stride=2, bias=False, indice_key=f"down_{level}")
                for level, (fine, coarse) in enumerate(pairwise(channels))
            ]
        )

    @untraced
    def forward(self, image: SparseConvTensor) -> list[SparseConvTensor]:
        """Return the image at every level.

        Raises:
            TypeError: no image.
            ValueError: the spatial shape is no multiple of 2^(depth - 1): see `padded_shape`.
        """
        require_image(self, image)
        depth, shape = len(self.downsamplings) + 1, image.spatial_shape
        if padded_shape(shape, depth) != shape:
            raise ValueError(
                f"an image of {' x '.join(map(str, shape))} sites would lose those at its border in {depth - 1} "
                f"halvings: give it the spatial shape {padded_shape(shape, depth)}"
            )
        return engine_of(image.features).encode(self, image)

    def by_parts(self, image: SparseConvTensor) -> list[SparseConvTensor]:
        """Return the same by calling the layers one after the other."""
        with torch.autocast(image.features.device.type, enabled=False):  # bfloat16 has too few bits for coordinates
            image = self.input(image)
        levels = []
        for level, blocks in enumerate(self.blocks):
            image = blocks(image)
            levels.append(image)
            if level < len(self.downsamplings):
                image = activate_and_convolve(self.activations[level], self.downsamplings[level], image)
        return levels

    def is_as_made(self, device: torch.device = CPU_DEVICE) -> bool:
        """Tell whether it is in evaluation mode and all layers are as made; see :mod:`mlreco.sparse.as_made`."""
        between = len(self.blocks) - 1
        return (
            not any(module.training for module in self.modules())
            and is_made(self.input, SubMConv3d, device)
            and is_list_of(self.activations, nn.ModuleList, NormActivation, device)
            and is_list_of(self.downsamplings, nn.ModuleList, SparseConv3d, device)
            and len(self.activations) == len(self.downsamplings) == between
            and _are_levels(self.blocks, device)
            and self._widths_fit()
        )

    def _widths_fit(self) -> bool:
        """Tell whether every level takes as many features as the layers before it give."""
        width = self.input.out_channels
        for level, blocks in enumerate(self.blocks):
            if blocks[0].in_channels != width:
                return False
            width = blocks[-1].out_channels
            if level < len(self.downsamplings):
                down = self.downsamplings[level]
                if not self.activations[level].norm.num_features == down.in_channels == width:
                    return False
                width = down.out_channels
        return True


class UNetDecoder(nn.Module):
    """From the levels of an encoder back to features of a finer level, by default of every voxel.

    Args:
        filters: features at the finest level of the encoder, or a list with those of every level.
        depth: number of levels of the encoder.
        reps: residual blocks a level.
        leakiness: slope of LeakyReLU below zero.
        finest: the level at which the decoder ends; level 0 is that of the voxels. It is called with this level and the
            coarser ones.
    """

    def __init__(self, filters: Filters, depth: int, reps: int = 2, leakiness: float = 0.33, finest: int = 0) -> None:
        super().__init__()
        if not 0 <= finest < depth:
            raise ValueError(f"a decoder of {depth} levels cannot end at level {finest}")
        channels = level_channels(filters, depth)[finest:]
        self.activations = members([NormActivation(c, leakiness) for c in channels[1:]])
        self.upsamplings = members(
            [
                SparseInverseConv3d(coarse, fine, 2, indice_key=f"down_{level}", bias=False)
                for level, (fine, coarse) in enumerate(pairwise(channels), start=finest)
            ]
        )
        self.blocks = members(
            [_blocks(2 * c, c, reps, leakiness, level) for level, c in enumerate(channels[:-1], start=finest)]
        )

    @untraced
    def forward(self, levels: list[SparseConvTensor]) -> SparseConvTensor:
        """Return features on the sites and rows of the finest of the levels given.

        Raises:
            TypeError: no list of images.
            ValueError: more or fewer levels than the decoder has.
        """
        require_images(self, levels, len(self.blocks) + 1)
        return engine_of(levels[-1].features).decode(self, levels)

    def by_parts(self, levels: list[SparseConvTensor]) -> SparseConvTensor:
        """Return the same by calling the layers one after the other."""
        image = levels[-1]
        for level in reversed(range(len(self.blocks))):
            image = activate_and_convolve(self.activations[level], self.upsamplings[level], image)
            require_same_sites(levels[level], image)
            joined = torch.cat([levels[level].features, image.features], dim=1)
            image = self.blocks[level](image.replace_feature(joined))
        return image

    def is_as_made(self, device: torch.device = CPU_DEVICE) -> bool:
        """Tell whether it is in evaluation mode and all layers are as made; see :mod:`mlreco.sparse.as_made`."""
        return (
            not any(module.training for module in self.modules())
            and is_list_of(self.activations, nn.ModuleList, NormActivation, device)
            and is_list_of(self.upsamplings, nn.ModuleList, SparseInverseConv3d, device)
            and len(self.activations) == len(self.upsamplings) == len(self.blocks)
            and _are_levels(self.blocks, device)
            and self._widths_fit()
        )

    def _widths_fit(self) -> bool:
        """Tell whether every level takes as many features as the coarser one gives, and more for those beside them."""
        for level, (up, blocks) in enumerate(zip(self.upsamplings, self.blocks, strict=True)):
            given = self.blocks[level + 1][-1].out_channels if level + 1 < len(self.blocks) else up.in_channels
            if not self.activations[level].norm.num_features == up.in_channels == given:
                return False
            if blocks[0].in_channels <= up.out_channels:
                return False
        return True
