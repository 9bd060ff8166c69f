"""One convolution on an image that has tables, with gradients: for a layer that is called by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from mlreco.sparse.gathered.known import halving_of, halving_undone_by, neighbours_of
from mlreco.sparse.gathered.torch_kernels import product
from mlreco.sparse.maps.sites import INVERSE, STRIDED
from mlreco.sparse.precision import autocast_dtype
from mlreco.sparse.tensor import SparseConvTensor

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConv3d, SparseConvolution, SparseInverseConv3d, SubMConv3d


def convolve_by_table(layer: SparseConvolution, image: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(image)`` where the image has the tables of the layer.

    Raises:
        ValueError: the tables are those of another convolution or of other sites.
    """
    dtype = autocast_dtype(image.features)
    features, weight = image.features.to(dtype), layer.kernel_major_weight().to(dtype)

    def with_bias(values: Tensor) -> Tensor:
        return values if layer.bias is None else values + layer.bias

    with torch.autocast(features.device.type, enabled=False):
        if layer.kind == INVERSE:
            known, halving = halving_undone_by(cast("SparseInverseConv3d", layer), image)
            return known.image(with_bias(product(features, halving.parents, weight)), known.fine, image)
        if layer.kind == STRIDED:
            known, halving = halving_of(cast("SparseConv3d", layer), image)
            return known.image(with_bias(product(features, halving.children, weight)), known.coarse, image)
        table = neighbours_of(cast("SubMConv3d", layer), image)
        return image.replace_feature(with_bias(product(features, table, weight)))
