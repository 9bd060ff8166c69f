"""Residual blocks of submanifold convolutions with pre-activation."""

from __future__ import annotations

import torch
from torch import nn

from mlreco.models.layers.norm import VoxelBatchNorm
from mlreco.models.layers.own_modules import (
    CONVOLUTIONS,
    is_own,
    is_own_convolution,
    is_own_linear,
    is_own_norm,
    nobody_watches_all,
)
from mlreco.models.layers.precision import autocast_dtype, residual_sum
from mlreco.models.layers.remembered import remembered
from mlreco.models.layers.sparse import SparseConvolution, SparseConvTensor, SubMConv3d, engine
from mlreco.models.layers.sparse.cpu import backend as compiled
from mlreco.models.layers.sparse.cpu.activated_function import ActivatedSettings, activated_convolution
from mlreco.models.layers.sparse.cpu.block_function import BlockSettings, residual_block
from mlreco.models.layers.sparse.cpu.epilogue import Activation
from mlreco.models.layers.sparse.cpu.norm_function import batch_norm_leaky_relu
from mlreco.models.layers.sparse.sites import submanifold_sites


class NormActivation(nn.Module):
    """BatchNorm followed by LeakyReLU.

    Args:
        channels: number of features.
        leakiness: slope below zero.
    """

    def __init__(self, channels: int, leakiness: float) -> None:
        super().__init__()
        self.norm = VoxelBatchNorm(channels)
        self.leakiness = leakiness

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the normalised, rectified (N, C) features."""
        if nobody_watches_all():
            if self.is_compiled(features):
                norm = self.norm
                parameters = norm.weight, norm.bias, norm.eps, self.leakiness
                return batch_norm_leaky_relu(features, *parameters, norm.running())[0]
            if engine.is_inference(self, features) and not self.norm.training and is_own_norm(self.norm):
                return compiled.activate(features, self.affine())
        return nn.functional.leaky_relu(self.norm(features), self.leakiness)

    def is_compiled(self, features: torch.Tensor) -> bool:
        """Tell whether the compiled engine normalises these features as in training."""
        is_training = self.norm.training and len(features) > 1
        return is_training and engine.is_compiled(features) and is_own_norm(self.norm)

    def affine(self, first: int = 0, last: int | None = None) -> Activation:
        """Return normalisation with running statistics and activation as one affine map and a slope.

        Args:
            first: the first feature it is wanted for.
            last: the feature after the last, None for all.
        """
        norm = self.norm
        tensors = norm.weight, norm.bias, norm.running_mean, norm.running_var

        def fold() -> Activation:
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            shift = norm.bias - norm.running_mean * scale
            return compiled.affine(scale[first:last], shift[first:last], self.leakiness)

        return remembered(self, (first, last, norm.eps, self.leakiness), tensors, fold)


def is_own_activation(module: nn.Module) -> bool:
    """Tell whether a module is a normalisation and activation as they are made here; see ``own_modules``."""
    return is_own(module, NormActivation) and is_own_norm(module.norm)


def activate_and_convolve(
    activation: NormActivation, convolution: SparseConvolution, image: SparseConvTensor
) -> SparseConvTensor:
    """Return ``convolution`` of the image after ``activation``, in training in one go where the engine can."""
    features = image.features
    is_one = (
        torch.is_grad_enabled()
        and autocast_dtype(features) == torch.float32
        and is_own_activation(activation)
        and activation.is_compiled(features)
        and is_own_convolution(convolution, *CONVOLUTIONS)
        and nobody_watches_all()
    )
    if not is_one:
        return convolution(image.replace_feature(activation(features)))
    norm = activation.norm
    kernel_map, image_of = convolution.target(image)
    settings = ActivatedSettings(kernel_map, norm.eps, activation.leakiness, norm.running())
    return image_of(activated_convolution(features, norm.weight, norm.bias, convolution.weight, settings))


class ResidualBlock(nn.Module):
    """Two 3x3x3 submanifold convolutions, each after BatchNorm and LeakyReLU, added to a shortcut.

    Args:
        in_channels: features of the input; the shortcut is linear where they differ from the output's.
        out_channels: features of the output.
        leakiness: slope of LeakyReLU below zero.
        indice_key: key of the level's kernel map.
    """

    def __init__(self, in_channels: int, out_channels: int, leakiness: float, indice_key: str) -> None:
        super().__init__()
        self.activation_1 = NormActivation(in_channels, leakiness)
        self.convolution_1 = SubMConv3d(in_channels, out_channels, 3, bias=False, indice_key=indice_key)
        self.activation_2 = NormActivation(out_channels, leakiness)
        self.convolution_2 = SubMConv3d(out_channels, out_channels, 3, bias=False, indice_key=indice_key)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Linear(in_channels, out_channels, bias=False)

    def forward(self, image: SparseConvTensor) -> SparseConvTensor:
        """Return the block's output on the same sites."""
        if self._is_one_function(image.features):
            return image.replace_feature(self._run_as_one_function(image))
        inner = self.convolution_1(image.replace_feature(self.activation_1(image.features)))
        inner = self.convolution_2(inner.replace_feature(self.activation_2(inner.features)))
        return inner.replace_feature(residual_sum(inner.features, self.shortcut, image.features))

    def _is_one_function(self, features: torch.Tensor) -> bool:
        """Tell whether the compiled engine trains with these features, in their own precision."""
        return (
            torch.is_grad_enabled()
            and len(features) > 1
            and engine.is_compiled(features)
            and autocast_dtype(features) == torch.float32
            and nobody_watches_all()
            and is_own_block(self)
            and self.activation_1.norm.training
            and self.activation_2.norm.training
        )

    def _run_as_one_function(self, image: SparseConvTensor) -> torch.Tensor:
        norms = self.activation_1.norm, self.activation_2.norm
        convolutions = self.convolution_1, self.convolution_2
        kernel_map = submanifold_sites(image, convolutions[0].kernel_size, convolutions[0].indice_key)
        return residual_block(
            image.features,
            tuple((norm.weight, norm.bias) for norm in norms),
            tuple(convolution.weight for convolution in convolutions),
            None if isinstance(self.shortcut, nn.Identity) else self.shortcut.weight,
            BlockSettings(
                *(kernel_map, tuple(norm.eps for norm in norms), self.activation_1.leakiness),
                tuple(norm.running() for norm in norms),
            ),
        )


def is_own_block(block: nn.Module) -> bool:
    """Tell whether a module is a residual block whose layers are as they are made here; see ``own_modules``."""
    if not (is_own(block, ResidualBlock) and is_own_activation(block.activation_1)):
        return False
    first, second = block.convolution_1, block.convolution_2
    return (
        is_own_activation(block.activation_2)
        and block.activation_1.leakiness == block.activation_2.leakiness
        and is_own_convolution(first, SubMConv3d)
        and is_own_convolution(second, SubMConv3d)
        and (first.kernel_size, first.indice_key) == (second.kernel_size, second.indice_key)
        and (is_own(block.shortcut, nn.Identity) or is_own_linear(block.shortcut))
    )
