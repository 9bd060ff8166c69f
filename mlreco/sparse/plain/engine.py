"""The engine that calls the parts of a layer one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlreco.sparse.plain import kernels
from mlreco.sparse.plain.convolution_function import ConvolutionKernels, sparse_convolution

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.norm_activation import NormActivation
    from mlreco.sparse.layers.residual import ResidualBlock
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder
    from mlreco.sparse.tensor import SparseConvTensor


class PlainEngine:
    """Computes every layer from its parts, and convolutions in plain torch, in any dtype, on the CPU."""

    def kernels(self, features: torch.Tensor) -> ConvolutionKernels:
        """Return what convolves these features and finds the gradients."""
        return kernels

    def convolve(self, layer: SparseConvolution, image: SparseConvTensor) -> SparseConvTensor:
        """Return the sparse convolution of an image, bias included."""
        kernel_map, image_of = layer.target(image)
        out = sparse_convolution(image.features, layer.kernel_major_weight(), kernel_map, self.kernels)
        return image_of(out if layer.bias is None else out + layer.bias)

    def norm_act(self, layer: NormActivation, features: torch.Tensor) -> torch.Tensor:
        """Return the features after normalisation and activation."""
        return layer.by_parts(features)

    def norm_act_conv(
        self, activation: NormActivation, convolution: SparseConvolution, image: SparseConvTensor
    ) -> SparseConvTensor:
        """Return the convolution of an image after normalisation and activation."""
        return convolution(image.replace_feature(activation(image.features)))

    def block(self, block: ResidualBlock, image: SparseConvTensor) -> SparseConvTensor:
        """Return the output of a residual block."""
        return block.by_parts(image)

    def encode(self, encoder: UNetEncoder, image: SparseConvTensor) -> list[SparseConvTensor]:
        """Return the image at every level."""
        return encoder.by_parts(image)

    def decode(self, decoder: UNetDecoder, levels: list[SparseConvTensor]) -> SparseConvTensor:
        """Return features of the finest level."""
        return decoder.by_parts(levels)
