"""Layers in training as single autograd functions: fewer intermediate tensors, and fewer nodes of the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from mlreco.sparse.cpu.ops.normalisation import Running
from mlreco.sparse.cpu.training.activated_function import ActivatedSettings, activated_convolution
from mlreco.sparse.cpu.training.block_function import BlockParameters, BlockSettings, residual_block
from mlreco.sparse.cpu.training.norm_function import batch_norm_leaky_relu
from mlreco.sparse.maps.sites import submanifold_sites

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.norm_activation import NormActivation
    from mlreco.sparse.layers.residual import ResidualBlock
    from mlreco.sparse.tensor import SparseConvTensor


def norm_act(layer: NormActivation, features: torch.Tensor) -> torch.Tensor:
    """Return (N, C) features after normalisation and activation, N at least 2; the running statistics move."""
    norm = layer.norm
    running = Running(*norm.count_batch())
    return batch_norm_leaky_relu(features, norm.weight, norm.bias, norm.eps, layer.leakiness, running)[0]


def norm_act_conv(
    activation: NormActivation, convolution: SparseConvolution, image: SparseConvTensor
) -> SparseConvTensor:
    """Return the convolution, which has no bias, of an image of at least 2 sites after normalisation and activation."""
    norm = activation.norm
    kernel_map, image_of = convolution.target(image)
    settings = ActivatedSettings(kernel_map, norm.eps, activation.leakiness, Running(*norm.count_batch()))
    return image_of(activated_convolution(image.features, norm.weight, norm.bias, convolution.weight, settings))


def block(block: ResidualBlock, image: SparseConvTensor) -> SparseConvTensor:
    """Return the output of a residual block on an image of at least 2 sites."""
    activation, first, second, shortcut = block.activation_1, block.convolution_1, block.convolution_2, block.shortcut
    norm_1, norm_2 = activation.norm, block.activation_2.norm
    settings = BlockSettings(
        submanifold_sites(image, first.kernel_size, first.indice_key),
        (norm_1.eps, norm_2.eps),
        activation.leakiness,
        (Running(*norm_1.count_batch()), Running(*norm_2.count_batch())),
    )
    parameters = BlockParameters(
        *(norm_1.weight, norm_1.bias, first.weight),
        *(norm_2.weight, norm_2.bias, second.weight),
        None if isinstance(shortcut, nn.Identity) else shortcut.weight,
    )
    return image.replace_feature(residual_block(image.features, parameters, settings))
