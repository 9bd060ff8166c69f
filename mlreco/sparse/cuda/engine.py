"""The engine of CUDA devices: spconv where gradients are recorded, tables of rows in inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlreco.sparse.cuda import layers
from mlreco.sparse.gathered.engine import GatherEngine
from mlreco.sparse.gathered.kernels import triton_serves
from mlreco.sparse.gathered.known import has_tables
from mlreco.sparse.maps.sites import INVERSE, STRIDED, SUBMANIFOLD

if TYPE_CHECKING:
    import torch

    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder
    from mlreco.sparse.tensor import SparseConvTensor

_Compute = Callable[[Any, "SparseConvTensor"], "SparseConvTensor"]
"""A function that computes a convolution of one kind."""
_BY_KIND: dict[str, _Compute] = {SUBMANIFOLD: layers.submanifold, STRIDED: layers.strided, INVERSE: layers.inverse}


class SpconvEngine(GatherEngine):
    """Convolves with spconv, but for networks in evaluation mode without gradients, whose events are small for it."""

    def convolve(self, layer: SparseConvolution, image: SparseConvTensor) -> SparseConvTensor:
        """Return the sparse convolution of an image, bias included."""
        return super().convolve(layer, image) if has_tables(layer, image) else _BY_KIND[layer.kind](layer, image)

    def infers_as_a_whole(self, network: UNetEncoder | UNetDecoder, features: torch.Tensor) -> bool:
        """Tell whether an encoder or decoder is computed by tables; spconv's own code for CPUs never is."""
        return triton_serves(features.device) and super().infers_as_a_whole(network, features)
