"""Residual blocks of submanifold convolutions with pre-activation."""

from __future__ import annotations

import torch
from torch import nn

from mlreco.sparse.as_made import CPU_DEVICE, is_linear, is_made, is_own
from mlreco.sparse.convolutions import SparseConvolution, SubMConv3d
from mlreco.sparse.engine import engine_of
from mlreco.sparse.layers.norm_activation import NormActivation
from mlreco.sparse.precision import residual_sum
from mlreco.sparse.tensor import SparseConvTensor, require_image
from mlreco.sparse.untraced import untraced


def activate_and_convolve(
    activation: NormActivation, convolution: SparseConvolution, image: SparseConvTensor
) -> SparseConvTensor:
    """Return the convolution of the activated image; in training the engine may compute both in one step."""
    return engine_of(image.features).norm_act_conv(activation, convolution, image)


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

    @untraced
    def forward(self, image: SparseConvTensor) -> SparseConvTensor:
        """Return the block's output on the same sites.

        Raises:
            TypeError: no image.
        """
        require_image(self, image)
        return engine_of(image.features).block(self, image)

    def by_parts(self, image: SparseConvTensor) -> SparseConvTensor:
        """Return the same by calling the layers one after the other."""
        inner = self.convolution_1(image.replace_feature(self.activation_1(image.features)))
        inner = self.convolution_2(inner.replace_feature(self.activation_2(inner.features)))
        return inner.replace_feature(residual_sum(inner.features, self.shortcut, image.features))

    def is_as_made(self, device: torch.device = CPU_DEVICE) -> bool:
        """Tell whether all its layers are as they are made; see :mod:`mlreco.sparse.as_made`."""
        first, second, before, between = self.convolution_1, self.convolution_2, self.activation_1, self.activation_2
        return (
            is_own(self, ResidualBlock, device)
            and is_made(before, NormActivation, device)
            and is_made(between, NormActivation, device)
            and before.leakiness == between.leakiness
            and is_made(first, SubMConv3d, device)
            and is_made(second, SubMConv3d, device)
            and first.bias is None
            and second.bias is None
            and (first.kernel_size, first.indice_key) == (second.kernel_size, second.indice_key)
            and (is_own(self.shortcut, nn.Identity) or is_linear(self.shortcut, device))
            and self._widths_fit()
        )

    def _widths_fit(self) -> bool:
        """Tell whether every layer takes as many features as those before it give."""
        width, out = self.in_channels, self.out_channels
        return (
            self.activation_1.norm.num_features == width
            and self.activation_2.norm.num_features == out
            and self.convolution_1.out_channels == self.convolution_2.in_channels == out
            and (width == out if isinstance(self.shortcut, nn.Identity) else self.shortcut.weight.shape == (out, width))
        )

    @property
    def in_channels(self) -> int:
        """Number of features of the input."""
        return self.convolution_1.in_channels

    @property
    def out_channels(self) -> int:
        """Number of features of the output."""
        return self.convolution_2.out_channels
