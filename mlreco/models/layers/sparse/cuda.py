"""The CUDA engine: spconv, fed with this package's own parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlreco.errors import UserError
from mlreco.models.layers.sparse.sites import coarse_shape
from mlreco.models.layers.sparse.tensor import SparseConvTensor

if TYPE_CHECKING:
    from mlreco.models.layers.sparse.convolutions import (
        SparseConv3d,
        SparseConvolution,
        SparseInverseConv3d,
        SubMConv3d,
    )


def _spconv() -> Any:
    try:
        import spconv.pytorch as spconv
    except ImportError as error:
        raise UserError(
            "a CUDA device needs spconv: pip install mlreco[cuda], or run with trainval.gpus: ''"
        ) from error
    spconv.constants.SPCONV_ALLOW_TF32 = torch.backends.cuda.matmul.allow_tf32
    return spconv


def _twin(layer: SparseConvolution, kind: str, **arguments: Any) -> Any:
    """Return spconv's layer of that kind with the parameters of ours, made once a layer."""
    twin = layer.__dict__.get("_spconv_layer")
    if twin is None:
        spconv = _spconv()
        twin = getattr(spconv, kind)(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            bias=layer.bias is not None,
            indice_key=layer.indice_key,
            **arguments,
        )
        layer.__dict__["_spconv_layer"] = twin
    twin._parameters["weight"] = layer.weight
    twin._parameters["bias"] = layer.bias
    twin.train(layer.training)
    return twin


def _apply(twin: Any, tensor: SparseConvTensor) -> SparseConvTensor:
    spconv = _spconv()
    image = spconv.SparseConvTensor(
        tensor.features, tensor.indices.int(), tensor.spatial_shape, tensor.batch_size, indice_dict=tensor.indice_dict
    )
    out = twin(image)
    indices = out.indices.to(tensor.indices.dtype)
    return SparseConvTensor(out.features, indices, out.spatial_shape, tensor.batch_size, out.indice_dict)


def _empty(layer: SparseConvolution, tensor: SparseConvTensor, spatial_shape: list[int]) -> SparseConvTensor:
    """Return what a layer makes of an image without sites, which spconv refuses; its parameters get zero gradients."""
    features = tensor.features.new_zeros(0, layer.out_channels) + 0 * layer.weight.sum()
    return SparseConvTensor(features, tensor.indices, spatial_shape, tensor.batch_size, tensor.indice_dict)


def submanifold(layer: SubMConv3d, tensor: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(tensor)`` computed by spconv."""
    if not len(tensor.features):
        return _empty(layer, tensor, tensor.spatial_shape)
    return _apply(_twin(layer, "SubMConv3d"), tensor)


def strided(layer: SparseConv3d, tensor: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(tensor)`` computed by spconv; the order of the output sites is spconv's."""
    if not len(tensor.features):
        tensor.indice_dict["fine shape of", layer.indice_key] = tensor.spatial_shape
        return _empty(layer, tensor, coarse_shape(tensor.spatial_shape, layer.kernel_size, layer.stride, layer.padding))
    return _apply(_twin(layer, "SparseConv3d", stride=layer.stride, padding=layer.padding), tensor)


def inverse(layer: SparseInverseConv3d, tensor: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(tensor)`` computed by spconv."""
    if not len(tensor.features):
        return _empty(layer, tensor, tensor.indice_dict["fine shape of", layer.indice_key])
    return _apply(_twin(layer, "SparseInverseConv3d"), tensor)
