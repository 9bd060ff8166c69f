"""Kernel maps of a sparse tensor: built once per ``indice_key`` and shared by all layers that name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mlreco.models.layers.sparse.kernel_map import (
    KernelMap,
    coordinates_from_keys,
    downsample_map,
    keys_from_coordinates,
    submanifold_map,
)
from mlreco.models.layers.sparse.tensor import SparseConvTensor


@dataclass(frozen=True)
class StridedSites:
    """The two ends of a strided convolution, kept for the inverse convolution that undoes it.

    Attributes:
        kernel_map: pairs from the fine to the coarse rows.
        fine, coarse: (N, 4) sites of both ends.
        fine_shape, coarse_shape: spatial shapes of both ends.
        geometry: kernel size, stride and padding.
    """

    kernel_map: KernelMap
    fine: torch.Tensor
    coarse: torch.Tensor
    fine_shape: list[int]
    coarse_shape: list[int]
    geometry: tuple[int, int, int]


def coarse_shape(spatial_shape: Sequence[int], kernel_size: int, stride: int, padding: int) -> list[int]:
    """Return the spatial shape after a strided convolution, that of a dense one."""
    return [(n + 2 * padding - kernel_size) // stride + 1 for n in spatial_shape]


def _sorted_keys(tensor: SparseConvTensor) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the sorted keys of the sites and, where the rows are not in that order, the row of each key.

    They are kept beside the kernel maps, since several of these start from the same sites.
    """
    known = tensor.indice_dict.setdefault("sorted keys", [])
    for indices, keys, rows in known:
        if indices is tensor.indices:
            return keys, rows
    keys, rows = _sorted_and_checked(tensor.indices)
    known.append((tensor.indices, keys, rows))
    return keys, rows


def _sorted_and_checked(indices: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None]:
    keys = keys_from_coordinates(indices.long().numpy())
    if (keys[1:] > keys[:-1]).all():
        return keys, None
    rows = np.argsort(keys, kind="stable")
    keys = keys[rows]
    same = keys[1:] == keys[:-1]
    if same.any():
        batch, x, y, z = coordinates_from_keys(keys[1:][same][:1])[0]
        raise ValueError(f"site ({x}, {y}, {z}) of image {batch} occurs more than once")
    return keys, rows


def submanifold_sites(tensor: SparseConvTensor, kernel_size: int, indice_key: str | None) -> KernelMap:
    """Return the kernel map of a submanifold convolution, from the tensor's cache where it is there."""
    cache_key = ("submanifold", indice_key)
    if indice_key is not None and cache_key in tensor.indice_dict:
        size, sites, kernel_map = tensor.indice_dict[cache_key]
        if size != kernel_size or sites.shape != tensor.indices.shape:
            raise ValueError(f"indice_key '{indice_key}' is in use for other sites or another kernel size")
        return kernel_map
    keys, rows = _sorted_keys(tensor)
    kernel_map = submanifold_map(keys, kernel_size)
    if rows is not None:
        kernel_map = kernel_map.with_rows(in_order=rows, out_order=rows)
    if indice_key is not None:
        tensor.indice_dict[cache_key] = (kernel_size, tensor.indices, kernel_map)
    return kernel_map


def strided_sites(
    tensor: SparseConvTensor, kernel_size: int, stride: int, padding: int, indice_key: str | None
) -> StridedSites:
    """Return the sites of a strided convolution, from the tensor's cache where they are there."""
    cache_key = ("strided", indice_key)
    if indice_key is not None and cache_key in tensor.indice_dict:
        sites = tensor.indice_dict[cache_key]
        if sites.geometry != (kernel_size, stride, padding) or sites.fine.shape != tensor.indices.shape:
            raise ValueError(f"indice_key '{indice_key}' is in use for another convolution")
        return sites
    shape = coarse_shape(tensor.spatial_shape, kernel_size, stride, padding)
    keys, rows = _sorted_keys(tensor)
    kernel_map, coarse_keys = downsample_map(keys, kernel_size, stride, padding, shape)
    if rows is not None:
        kernel_map = kernel_map.with_rows(in_order=rows)
    coarse = torch.from_numpy(coordinates_from_keys(coarse_keys)).to(tensor.indices.dtype)
    sites = StridedSites(
        kernel_map, tensor.indices, coarse, tensor.spatial_shape, shape, (kernel_size, stride, padding)
    )
    if indice_key is not None:
        tensor.indice_dict[cache_key] = sites
        tensor.indice_dict["sorted keys"].append((coarse, coarse_keys, None))
    return sites
