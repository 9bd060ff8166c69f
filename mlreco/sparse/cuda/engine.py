"""The engine of CUDA devices: convolutions are spconv's, all other layers torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlreco.sparse.cuda import layers
from mlreco.sparse.maps.sites import INVERSE, STRIDED, SUBMANIFOLD
from mlreco.sparse.plain.engine import PlainEngine

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.tensor import SparseConvTensor

_Compute = Callable[[Any, "SparseConvTensor"], "SparseConvTensor"]
"""A function that computes a convolution of one kind."""
_BY_KIND: dict[str, _Compute] = {SUBMANIFOLD: layers.submanifold, STRIDED: layers.strided, INVERSE: layers.inverse}


class SpconvEngine(PlainEngine):
    """Convolves with spconv."""

    def convolve(self, layer: SparseConvolution, image: SparseConvTensor) -> SparseConvTensor:
        """Return the sparse convolution of an image, bias included."""
        return _BY_KIND[layer.kind](layer, image)
