"""The CUDA engine: spconv, fed with this package's own parameters.

What spconv 2.3.8 needs of its caller:

* Its modules in evaluation mode make kernel maps and outputs that no gradient passes, although a frozen module stands
  between layers that learn: the mode is taken from whether gradients are recorded.
* A strided layer refuses a kernel map that is already there: networks on one image share maps through ``_reuse``.
* It has kernels for float32 and float16 alone, and under autocast casts to float16 only where it records gradients:
  casts are made here, and autocast is off inside.
* It runs on the current device and counts the bytes of a feature table in 32 bits, checking only some tables.
* Coordinates are hashed in 64 bits where batch size times volume needs it, so that no batch is too large for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlreco.errors import UserError
from mlreco.models.layers.precision import autocast_dtype
from mlreco.models.layers.sparse.sites import coarse_shape
from mlreco.models.layers.sparse.tensor import SparseConvTensor

if TYPE_CHECKING:
    from mlreco.models.layers.sparse.convolutions import (
        SparseConv3d,
        SparseConvolution,
        SparseInverseConv3d,
        SubMConv3d,
    )

COMPUTED_IN = {torch.bfloat16: torch.float32}
"""Types that spconv has no kernels for, and what it computes in instead."""
MAX_BYTES = 2**31 - 1
"""Largest feature table whose bytes spconv can count."""


def _spconv() -> Any:
    try:
        import spconv.pytorch as spconv
        from spconv import constants
    except ImportError as error:
        raise UserError(
            "a CUDA device needs spconv: pip install mlreco[cuda], or run with trainval.gpus: ''"
        ) from error
    constants.SPCONV_ALLOW_TF32 = torch.backends.cuda.matmul.allow_tf32
    return spconv


def _twin(layer: SparseConvolution, kind: str, weight: torch.Tensor, **arguments: Any) -> Any:
    """Return spconv's layer of that kind with the parameters of ours, made once a layer."""
    twin = layer.__dict__.get("_spconv_layer")
    if twin is None:
        spconv = _spconv()
        twin = getattr(spconv, kind)(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            bias=False,
            indice_key=layer.indice_key,
            **arguments,
        )
        layer.__dict__["_spconv_layer"] = twin
    twin._parameters["weight"] = weight
    twin.training = torch.is_grad_enabled()
    return twin


def _apply(layer: SparseConvolution, kind: str, tensor: SparseConvTensor, **arguments: Any) -> SparseConvTensor:
    """Return the layer's output; kernel maps are kept in the ``indice_dict`` that all tensors of an image share."""
    spconv = _spconv()
    dtype = autocast_dtype(tensor.features)
    features = tensor.features.to(COMPUTED_IN.get(dtype, dtype)).contiguous()
    weight = layer.weight.to(features.dtype)
    _refuse_large(layer, features)
    image = spconv.SparseConvTensor(
        features, tensor.indices.int(), tensor.spatial_shape, tensor.batch_size, indice_dict=tensor.indice_dict
    )
    with torch.cuda.device_of(features), torch.autocast(features.device.type, enabled=False):
        twin = _twin(layer, kind, weight, **arguments)
        found = tensor.indice_dict.get(layer.indice_key) if kind == "SparseConv3d" else None
        out = twin(image) if found is None else _reuse(twin, image, found)
        twin._parameters["weight"] = layer.weight  # no copy of another type and its graph is kept
    tensor.indice_dict.update(out.indice_dict)
    values = out.features if layer.bias is None else out.features + layer.bias
    _refuse_large(layer, values)
    return SparseConvTensor(values.to(dtype), out.indices, out.spatial_shape, tensor.batch_size, tensor.indice_dict)


def _reuse(twin: Any, image: Any, maps: Any) -> Any:
    """Return ``twin(image)`` of a strided layer with the kernel maps that another such layer made of these sites."""
    from spconv.pytorch import functional
    from spconv.pytorch.core import IndiceData

    geometry = [maps.ksize, maps.stride, maps.padding, maps.spatial_shape, len(maps.indices)]
    if geometry != [twin.kernel_size, twin.stride, twin.padding, image.spatial_shape, len(image.indices)]:
        raise ValueError(f"indice_key '{twin.indice_key}' is in use for another convolution")
    rows = len(maps.out_indices)
    if isinstance(maps, IndiceData):
        pairs = (maps.indice_pairs, maps.indice_pair_num)
        features = functional.indice_conv(image.features, twin.weight, *pairs, rows, twin.algo)
    else:
        features = functional.implicit_gemm(
            image.features,
            twin.weight,
            maps.pair_fwd,
            maps.pair_bwd,
            maps.pair_mask_fwd_splits,
            maps.pair_mask_bwd_splits,
            maps.mask_argsort_fwd_splits,
            maps.mask_argsort_bwd_splits,
            rows,
            maps.masks,
            twin.training,
            False,
        )
    out = image.replace_feature(features)
    out.indices = maps.out_indices
    out.spatial_shape = maps.out_spatial_shape
    return out


def _refuse_large(layer: SparseConvolution, features: torch.Tensor) -> None:
    if features.numel() * features.element_size() > MAX_BYTES:
        raise UserError(
            f"a batch of {len(features)} voxels with {features.shape[1]} features is more than the 2 GiB that spconv "
            f"takes in {type(layer).__name__}; lower iotool.batch_size"
        )


def _empty(layer: SparseConvolution, tensor: SparseConvTensor, spatial_shape: list[int]) -> SparseConvTensor:
    """Return what a layer makes of an image without sites, which spconv refuses; its parameters get zero gradients."""
    dtype = autocast_dtype(tensor.features)
    features = tensor.features.new_zeros(0, layer.out_channels, dtype=dtype) + 0 * layer.weight.sum()
    return SparseConvTensor(features, tensor.indices, spatial_shape, tensor.batch_size, tensor.indice_dict)


def submanifold(layer: SubMConv3d, tensor: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(tensor)`` computed by spconv."""
    if not len(tensor.features):
        return _empty(layer, tensor, tensor.spatial_shape)
    return _apply(layer, "SubMConv3d", tensor)


def strided(layer: SparseConv3d, tensor: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(tensor)`` computed by spconv; the order of the output sites is spconv's."""
    if not len(tensor.features):
        tensor.indice_dict["fine shape of", layer.indice_key] = tensor.spatial_shape
        return _empty(layer, tensor, coarse_shape(tensor.spatial_shape, layer.kernel_size, layer.stride, layer.padding))
    return _apply(layer, "SparseConv3d", tensor, stride=layer.stride, padding=layer.padding)


def inverse(layer: SparseInverseConv3d, tensor: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(tensor)`` computed by spconv."""
    if not len(tensor.features):
        return _empty(layer, tensor, tensor.indice_dict["fine shape of", layer.indice_key])
    return _apply(layer, "SparseInverseConv3d", tensor)
