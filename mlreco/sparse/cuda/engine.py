"""The engine of CUDA devices: spconv where gradients are recorded, tables of rows in inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlreco.console import remark_once
from mlreco.sparse.cuda import layers
from mlreco.sparse.gathered.engine import GatherEngine
from mlreco.sparse.gathered.known import has_tables
from mlreco.sparse.gathered.triton_needs import lacking_on
from mlreco.sparse.maps.sites import INVERSE, STRIDED, SUBMANIFOLD

if TYPE_CHECKING:
    import torch

    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder
    from mlreco.sparse.tensor import SparseConvTensor

_Compute = Callable[[Any, "SparseConvTensor"], "SparseConvTensor"]
"""A function that computes a convolution of one kind."""
_BY_KIND: dict[str, _Compute] = {SUBMANIFOLD: layers.submanifold, STRIDED: layers.strided, INVERSE: layers.inverse}


def inference_on(device: torch.device) -> str:
    """Tell in a sentence what infers on a CUDA device, and if it is not mlreco's own kernels, why."""
    lacking = lacking_on(device)
    if lacking is None:
        return "inference runs on mlreco's own kernels"
    return f"inference runs on spconv instead of mlreco's own kernels, which are faster: {lacking}"


class CudaEngine(GatherEngine):
    """Convolves with spconv, but for networks in evaluation mode without gradients, whose events are small for it."""

    def convolve(self, layer: SparseConvolution, image: SparseConvTensor) -> SparseConvTensor:
        """Return the sparse convolution of an image, bias included."""
        return super().convolve(layer, image) if has_tables(layer, image) else _BY_KIND[layer.kind](layer, image)

    def infers_as_a_whole(self, network: UNetEncoder | UNetDecoder, features: torch.Tensor) -> bool:
        """Tell whether an encoder or decoder is computed by tables; where spconv has to do it, the user is told."""
        if lacking_on(features.device) is None:
            return super().infers_as_a_whole(network, features)
        if features.is_cuda and super().infers_as_a_whole(network, features):
            remark_once(inference_on(features.device))
        return False
