"""U-Net inference by tables of rows, with normalisations, activations and residual sums folded into the convolutions.

A small event leaves a GPU idle most of the time: what counts is the number of kernels that the host starts. Here a
convolution is one kernel, and the tables of all levels are made with one wait for the device. The results are those of
the modules in :mod:`mlreco.sparse.layers.unet` in evaluation mode. Under autocast products are computed in its dtype,
but for the first; sums over blocks are float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlreco.sparse.gathered.kernels import Kernels, kernels_for
from mlreco.sparse.gathered.known import halving_of, halving_undone_by, neighbours_of, with_tables
from mlreco.sparse.gathered.parts import Part
from mlreco.sparse.gathered.plan import BlockPlan, DecoderLevelPlan, plan_of_decoder, plan_of_encoder
from mlreco.sparse.maps.sites import require_same_sites
from mlreco.sparse.precision import autocast_dtype
from mlreco.sparse.tensor import SparseConvTensor

if TYPE_CHECKING:
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder


@contextmanager
def _computing(features: Tensor) -> Iterator[tuple[torch.dtype, Kernels]]:
    """Give the dtype of products and the kernels for features, on whose device kernels are started."""
    dtype = autocast_dtype(features)
    with torch.autocast(features.device.type, enabled=False), torch.cuda.device_of(features):
        yield dtype, kernels_for(features)


def encode(encoder: UNetEncoder, image: SparseConvTensor) -> list[SparseConvTensor]:
    """Return what ``encoder(image)`` returns in evaluation mode. The image has sites."""
    images = []
    with _computing(image.features) as (dtype, kernels):
        plan, image = plan_of_encoder(encoder, dtype), with_tables(encoder, image)
        table = neighbours_of(encoder.input, image)
        part = kernels.convolution(image.features.float().contiguous(), table, plan.entry, dtype)
        for level, blocks in enumerate(plan.levels):
            table = neighbours_of(encoder.blocks[level][0].convolution_1, image)
            part = _run_blocks(blocks, part, table, dtype, kernels)
            images.append(image.replace_feature(part.raw))
            if level < len(plan.downs):
                known, halving = halving_of(encoder.downsamplings[level], image)
                part = kernels.convolution(part.active, halving.children, plan.downs[level], dtype)
                image = known.image(part.raw, known.coarse, image)
    return images


def decode(decoder: UNetDecoder, images: list[SparseConvTensor]) -> SparseConvTensor:
    """Return what ``decoder(images)`` returns in evaluation mode. The images are those of ``encode``."""
    image = images[-1]
    if not decoder.blocks:
        return image
    with _computing(image.features) as (dtype, kernels):
        plan = plan_of_decoder(decoder, dtype)
        features = image.features.float().contiguous()
        room = _room(features, features.shape[1], dtype)
        kernels.copy_and_activation(features, plan.entry, room)
        active = room.active
        for level in reversed(range(len(plan.levels))):
            skip = images[level]
            known, halving = halving_undone_by(decoder.upsamplings[level], image)
            require_same_sites(skip, known.fine)
            image = known.image(skip.features, known.fine, image)
            own = plan.levels[level]
            part = _joined(skip.features.float().contiguous(), active, halving.parents, own, dtype, kernels)
            table = neighbours_of(decoder.blocks[level][0].convolution_1, image)
            part = _run_blocks(own.blocks, part, table, dtype, kernels)
            image, active = image.replace_feature(part.raw), part.active
    return image


def _run_blocks(blocks: Sequence[BlockPlan], part: Part, table: Tensor, dtype: torch.dtype, kernels: Kernels) -> Part:
    """Return the output of the residual blocks of a level, and the same activated for what follows."""
    for block in blocks:
        inner = kernels.activated_convolution(part.active, table, block.first)
        part = kernels.convolution(inner, table, block.second, dtype, part.raw)
    return part


def _joined(
    skip: Tensor, active: Tensor, parents: Tensor, plan: DecoderLevelPlan, dtype: torch.dtype, kernels: Kernels
) -> Part:
    """Return the (N, C) features of a level and, beside them, those from the next coarser one.

    Args:
        skip: (N, C) float32 features of the level.
        active: (n, Cin) features of the coarser level, activated.
        parents: (N, 8) rows of the coarser level.
        plan: of the level.
        dtype: of products.
        kernels: that compute.
    """
    width = skip.shape[1]
    both = _room(skip, width + plan.up.weight.shape[2], dtype)
    kernels.copy_and_activation(skip, plan.skip, Part(both.raw[:, :width], both.active[:, :width]))
    right = Part(both.raw[:, width:], both.active[:, width:])
    kernels.convolution(active, parents, plan.up, dtype, into=right)
    return both


def _room(features: Tensor, width: int, dtype: torch.dtype) -> Part:
    """Return room for so many features of every row, and for the same in a dtype."""
    return Part(features.new_empty(len(features), width), features.new_empty((len(features), width), dtype=dtype))
