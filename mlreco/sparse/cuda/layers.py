"""Convolutions on a CUDA device by spconv, fed with this package's own parameters.

What the caller of spconv 2.3.8 has to take care of:

* Modules in evaluation mode build kernel maps and outputs without gradient, which is wrong for a frozen module between
  layers that learn. Here the mode depends on whether gradients are recorded.
* A strided layer refuses a kernel map that exists already, so networks on one image share maps through ``_reuse``.
* It has kernels for float32 and float16 only, and under autocast casts to float16 only where gradients are recorded.
  Casts are made here, with autocast off inside.
* It runs on the current device, and counts the bytes of a feature table in 32 bits without checking all tables; here
  the device is set and sizes are checked.
* Coordinates are hashed in 64 bits where batch size times volume needs it, so the batch size is not limited by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlreco.errors import UserError
from mlreco.sparse.maps.sites import (
    STRIDED,
    SUBMANIFOLD,
    KnownSites,
    Sites,
    coarse_shape,
    keep_sites,
    known_sites,
    sites_to_undo,
)
from mlreco.sparse.precision import autocast_dtype
from mlreco.sparse.tensor import SparseConvTensor

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import (
        SparseConv3d,
        SparseConvolution,
        SparseInverseConv3d,
        SubMConv3d,
    )

COMPUTED_IN = {torch.bfloat16: torch.float32}
"""Types for which spconv has no kernels -> the type in which it computes instead."""
MAX_BYTES = 2**31 - 1
"""Largest feature table whose bytes spconv can count."""


def _spconv() -> Any:
    try:
        import spconv.pytorch as spconv
        from spconv import constants
    except ImportError as error:
        raise UserError(
            "training on a CUDA device needs spconv, and so does inference where Triton's kernels cannot run: "
            "pip install mlreco[cuda], or run with trainval.gpus: ''"
        ) from error
    constants.SPCONV_ALLOW_TF32 = torch.backends.cuda.matmul.allow_tf32
    return spconv


def _twin(layer: SparseConvolution, kind: str, weight: torch.Tensor, **arguments: Any) -> Any:
    """Return spconv's counterpart of a layer, with its parameters; it is made once for each layer and settings."""
    settings = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.indice_key, arguments)
    made_for, twin = layer.__dict__.get("_spconv_layer", (None, None))
    if made_for != settings:
        twin = getattr(_spconv(), kind)(*settings[:3], bias=False, indice_key=layer.indice_key, **arguments)
        layer.__dict__["_spconv_layer"] = settings, twin
    twin._parameters["weight"] = weight
    twin.training = torch.is_grad_enabled()
    return twin


def _int32(tensor: SparseConvTensor) -> torch.Tensor:
    """Return the sites as int32, as spconv takes them. They are converted once for each image."""
    if tensor.indices.dtype == torch.int32:
        return tensor.indices
    copies = tensor.indice_dict.setdefault("int32 sites", [])
    for sites, copy in copies:
        if sites.indices is tensor.indices and sites.are_those_of(tensor):
            return copy
    copies.append((Sites(tensor.indices, tensor.spatial_shape), tensor.indices.int()))
    return copies[-1][1]


def _refuse_second_derivative(_: torch.Tensor) -> None:
    if torch.is_grad_enabled():
        raise RuntimeError(
            "spconv has no gradients of gradients: a loss made of gradients (create_graph=True) needs the CPU"
        )


def _apply(layer: SparseConvolution, kind: str, tensor: SparseConvTensor, **arguments: Any) -> tuple[torch.Tensor, Any]:
    """Return the layer's output features and spconv's image, whose kernel maps all tensors of an image share."""
    spconv = _spconv()
    dtype = autocast_dtype(tensor.features)
    features = tensor.features.to(COMPUTED_IN.get(dtype, dtype)).contiguous()
    weight = layer.weight.to(features.dtype)
    _refuse_large(layer, features)
    image = spconv.SparseConvTensor(
        features, _int32(tensor), tensor.spatial_shape, tensor.batch_size, indice_dict=tensor.indice_dict
    )
    with torch.cuda.device_of(features), torch.autocast(features.device.type, enabled=False):
        twin = _twin(layer, kind, weight, **arguments)
        found = tensor.indice_dict.get(layer.indice_key) if kind == "SparseConv3d" else None
        out = twin(image) if found is None else _reuse(twin, image, found)
        twin._parameters["weight"] = layer.weight  # so that a converted weight and its graph are freed
    tensor.indice_dict.update(out.indice_dict)
    values = out.features if layer.bias is None else out.features + layer.bias
    _refuse_large(layer, values)
    if values.requires_grad:
        values.register_hook(_refuse_second_derivative)
    return values.to(dtype), out


def _reuse(twin: Any, image: Any, maps: Any) -> Any:
    """Return ``twin(image)`` of a strided layer, with the kernel maps that another layer has built for these sites."""
    from spconv.pytorch import functional
    from spconv.pytorch.core import IndiceData

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


def _of_no_sites(layer: SparseConvolution, tensor: SparseConvTensor) -> torch.Tensor:
    """Return what a layer makes of an image without sites, which spconv refuses; its parameters get zero gradients."""
    dtype = autocast_dtype(tensor.features)
    return tensor.features.new_zeros(0, layer.out_channels, dtype=dtype) + 0 * layer.weight.sum()


def submanifold(layer: SubMConv3d, tensor: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(tensor)`` computed by spconv."""
    geometry = (layer.kernel_size, 1, 0)
    if known_sites(tensor, SUBMANIFOLD, geometry, layer.indice_key) is None:
        sites = Sites(tensor.indices, tensor.spatial_shape)
        keep_sites(tensor, layer.indice_key, KnownSites(SUBMANIFOLD, geometry, sites, sites))
    if not len(tensor.features):
        return tensor.replace_feature(_of_no_sites(layer, tensor))
    return tensor.replace_feature(_apply(layer, "SubMConv3d", tensor)[0])


def strided(layer: SparseConv3d, tensor: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(tensor)`` computed by spconv; the order of the output sites is spconv's."""
    geometry = (layer.kernel_size, layer.stride, layer.padding)
    known = known_sites(tensor, STRIDED, geometry, layer.indice_key)
    shape = coarse_shape(tensor.spatial_shape, *geometry)
    if len(tensor.features):
        values, out = _apply(layer, "SparseConv3d", tensor, stride=layer.stride, padding=layer.padding)
        indices = out.indices
    else:
        values, indices = _of_no_sites(layer, tensor), tensor.indices
    if known is None:
        ends = Sites(tensor.indices, tensor.spatial_shape), Sites(indices, shape)
        known = keep_sites(tensor, layer.indice_key, KnownSites(STRIDED, geometry, *ends))
    return known.image(values, known.coarse, tensor)


def inverse(layer: SparseInverseConv3d, tensor: SparseConvTensor) -> SparseConvTensor:
    """Return ``layer(tensor)`` computed by spconv."""
    known = sites_to_undo(tensor, layer.kernel_size, layer.indice_key)
    if len(tensor.features):
        values, _ = _apply(layer, "SparseInverseConv3d", tensor)
    else:
        values = _of_no_sites(layer, tensor)
    return known.image(values, known.fine, tensor)
