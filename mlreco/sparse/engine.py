"""The engines that compute sparse layers, and the one place that chooses among them.

Each method of an engine takes a layer and its input and returns the layer's output. ``PlainEngine`` calls the parts of
a layer one by one and convolves in plain torch. The other engines inherit from it and override what they can compute
faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import torch

from mlreco.sparse.cpu.engine import CpuEngine
from mlreco.sparse.cuda.engine import CudaEngine
from mlreco.sparse.plain.engine import PlainEngine

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.norm_activation import NormActivation
    from mlreco.sparse.layers.residual import ResidualBlock
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder
    from mlreco.sparse.tensor import SparseConvTensor


class Engine(Protocol):
    """Computes layers: every method returns the output that the layer's class defines."""

    def convolve(self, layer: SparseConvolution, image: SparseConvTensor) -> SparseConvTensor:
        """Return the sparse convolution of an image, bias included."""

    def norm_act(self, layer: NormActivation, features: torch.Tensor) -> torch.Tensor:
        """Return (N, C) features after batch normalisation and LeakyReLU; in training the statistics move."""

    def norm_act_conv(
        self, activation: NormActivation, convolution: SparseConvolution, image: SparseConvTensor
    ) -> SparseConvTensor:
        """Return the convolution of an image after normalisation and activation."""

    def block(self, block: ResidualBlock, image: SparseConvTensor) -> SparseConvTensor:
        """Return the output of a residual block on the same sites."""

    def encode(self, encoder: UNetEncoder, image: SparseConvTensor) -> list[SparseConvTensor]:
        """Return the image at every level of an encoder, the finest first."""

    def decode(self, decoder: UNetDecoder, levels: list[SparseConvTensor]) -> SparseConvTensor:
        """Return features on the sites and rows of the finest level."""


PLAIN, CPU, CUDA = PlainEngine(), CpuEngine(), CudaEngine()
_forced: Engine | None = None


def engine_of(features: torch.Tensor) -> Engine:
    """Return the engine that computes with features: that of CUDA devices, or our own on the CPU."""
    if _forced is not None:
        return _forced
    return CUDA if features.is_cuda else CPU


@contextmanager
def use_engine(engine: Engine) -> Iterator[None]:
    """Compute everything with one engine inside the block; for tests and benchmarks."""
    global _forced
    before, _forced = _forced, engine
    try:
        yield
    finally:
        _forced = before
