"""The CPU engine: decides when compiled code computes a layer as a whole instead of calling its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlreco.sparse.as_made import all_are_watched, tangents_flow
from mlreco.sparse.cpu import inference, kernels, training
from mlreco.sparse.cpu.threads.calls import calls_at_once
from mlreco.sparse.plain import kernels as plain_kernels
from mlreco.sparse.plain.convolution_function import ConvolutionKernels
from mlreco.sparse.plain.engine import PlainEngine
from mlreco.sparse.precision import autocast_dtype
from mlreco.sparse.weight_cache import remembered

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.norm_activation import NormActivation
    from mlreco.sparse.layers.residual import ResidualBlock
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder
    from mlreco.sparse.tensor import SparseConvTensor


def _may_compute(features: torch.Tensor) -> bool:
    """Tell whether layers may be computed as a whole.

    Kernels take only certain dtypes; with global hooks and in forward-mode differentiation layers must be called one
    by one.
    """
    return kernels.supports(features) and not all_are_watched() and not tangents_flow()


def _is_recorded(features: torch.Tensor) -> bool:
    """Tell whether gradients are recorded in float32, so that one autograd function can stand for a whole layer."""
    return torch.is_grad_enabled() and autocast_dtype(features) == torch.float32


def _is_inference(features: torch.Tensor) -> bool:
    """Tell whether neither gradients are recorded nor autocast rounds."""
    return not torch.is_grad_enabled() and not torch.is_autocast_enabled(features.device.type)


class CpuEngine(PlainEngine):
    """Computes float32 layers with compiled code, as a whole where ``is_as_made`` of the layer allows it."""

    def kernels(self, features: torch.Tensor) -> ConvolutionKernels:
        """Return what convolves these features and finds the gradients."""
        return kernels if kernels.supports(features) else plain_kernels

    def norm_act(self, layer: NormActivation, features: torch.Tensor) -> torch.Tensor:
        """Return the features after normalisation and activation."""
        if features.ndim == 2 and _may_compute(features) and layer.is_as_made():
            if layer.norm.training and features.shape[0] > 1:
                return training.norm_act(layer, features)
            if not layer.norm.training and not layer.training and _is_inference(features):
                return kernels.activate(features, inference.affine(layer), calls_at_once())
        return super().norm_act(layer, features)

    def norm_act_conv(
        self, activation: NormActivation, convolution: SparseConvolution, image: SparseConvTensor
    ) -> SparseConvTensor:
        """Return the convolution of an image after normalisation and activation."""
        features = image.features
        if (
            _may_compute(features)
            and features.shape[0] > 1
            and _is_recorded(features)
            and activation.is_as_made()
            and activation.norm.training
            and convolution.is_as_made()
            and convolution.bias is None
        ):
            return training.norm_act_conv(activation, convolution, image)
        return super().norm_act_conv(activation, convolution, image)

    def block(self, block: ResidualBlock, image: SparseConvTensor) -> SparseConvTensor:
        """Return the output of a residual block."""
        if self.trains_as_a_whole(block, image.features):
            return training.block(block, image)
        return super().block(block, image)

    def trains_as_a_whole(self, block: ResidualBlock, features: torch.Tensor) -> bool:
        """Tell whether a residual block is one function with these features."""
        return (
            _may_compute(features)
            and features.shape[0] > 1
            and _is_recorded(features)
            and block.is_as_made()
            and block.activation_1.norm.training
            and block.activation_2.norm.training
        )

    def encode(self, encoder: UNetEncoder, image: SparseConvTensor) -> list[SparseConvTensor]:
        """Return the image at every level."""
        if self.infers_as_a_whole(encoder, image.features):
            return inference.encode(encoder, image)
        return super().encode(encoder, image)

    def decode(self, decoder: UNetDecoder, levels: list[SparseConvTensor]) -> SparseConvTensor:
        """Return features of the finest level."""
        if self.infers_as_a_whole(decoder, levels[-1].features):
            return inference.decode(decoder, levels)
        return super().decode(decoder, levels)

    def infers_as_a_whole(self, network: UNetEncoder | UNetDecoder, features: torch.Tensor) -> bool:
        """Tell whether an encoder or decoder is computed with normalisations folded into its convolutions."""
        if network.training or not _may_compute(features) or not _is_inference(features):
            return False
        return remembered(network, "is as made", tuple, network.is_as_made)
