"""Kernel maps of a sparse tensor: built once per ``indice_key`` and shared by all layers that name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mlreco.sparse.maps.kernel_map import (
    KernelMap,
    coordinates_from_keys,
    downsample_map,
    keys_from_coordinates,
    submanifold_map,
)
from mlreco.sparse.tensor import SparseConvTensor

SUBMANIFOLD, STRIDED, INVERSE = "submanifold", "strided", "inverse"
"""Kinds of sparse convolutions."""


class Sites:
    """The input or output sites of a kernel map, for comparison with those of an image.

    Args:
        indices: (N, 4) sites, row by row.
        spatial_shape: of the image.
    """

    def __init__(self, indices: torch.Tensor, spatial_shape: Sequence[int]) -> None:
        self.indices = indices
        self.spatial_shape = list(spatial_shape)
        # Tensors made in inference mode do not count their changes, so a copy is compared instead; not on a CUDA
        # device, where a comparison would wait for the device.
        is_counted = not indices.is_inference()
        self._version = indices._version if is_counted else None
        self._copy = None if is_counted or indices.is_cuda else indices.clone()

    def are_those_of(self, tensor: SparseConvTensor) -> bool:
        """Tell whether an image has these sites in these rows, and they have not been changed since."""
        return self.spatial_shape == tensor.spatial_shape and self.are(tensor.indices)

    def are(self, indices: torch.Tensor) -> bool:
        """Tell whether these are the same sites in the same rows, and have not been changed since."""
        if not _is_same(self.indices, indices):
            return False
        if self._copy is not None:
            return bool(torch.equal(self._copy, self.indices))
        return self._version is None or self._version == self.indices._version


def _is_same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Tell whether two (N, 4) tables of sites are one, or equal."""
    return a is b or (a.shape == b.shape and a.device == b.device and bool((a == b).all()))


def require_same_sites(a: SparseConvTensor, b: SparseConvTensor | Sites) -> None:
    """Refuse to concatenate features on different sites.

    Raises:
        ValueError: the sites differ.
    """
    if a.spatial_shape != b.spatial_shape or not _is_same(a.indices, b.indices):
        raise ValueError(f"images on other sites cannot be joined: {_described(a)} and {_described(b)}")


def _described(image: SparseConvTensor | Sites) -> str:
    return f"{len(image.indices)} sites of a {' x '.join(map(str, image.spatial_shape))} image"


@dataclass(frozen=True, eq=False)
class KnownSites:
    """What is kept under an ``indice_key``: the kind of convolution, and its input and output sites.

    Attributes:
        kind: ``SUBMANIFOLD`` or ``STRIDED``.
        geometry: kernel size, stride and padding.
        fine: sites of the input, and of the output of a submanifold convolution.
        coarse: sites of the output.
        own_map: pairs of rows from fine to coarse; None where spconv keeps its own.
    """

    kind: str
    geometry: tuple[int, int, int]
    fine: Sites
    coarse: Sites
    own_map: KernelMap | None = None

    @property
    def kernel_map(self) -> KernelMap:
        """Pairs of rows from fine to coarse.

        Raises:
            ValueError: spconv has found them and keeps them.
        """
        if self.own_map is None:
            raise ValueError("an image whose sites spconv has paired cannot be convolved by another engine")
        return self.own_map

    def image(self, features: torch.Tensor, sites: Sites, of: SparseConvTensor) -> SparseConvTensor:
        """Return an image of features on ``fine`` or ``coarse`` sites, with the kernel maps of the image ``of``."""
        return SparseConvTensor.trusted(features, sites.indices, sites.spatial_shape, of.batch_size, of.indice_dict)


def known_sites(
    tensor: SparseConvTensor, kind: str, geometry: tuple[int, int, int], indice_key: str | None
) -> KnownSites | None:
    """Return what is kept in an image under a key, None where nothing is.

    The sites from which a kernel map was built are compared with those of the image: with others, wrong rows would be
    added without an error.

    Raises:
        ValueError: the key belongs to another kind of convolution, to other sizes or to other sites.
    """
    known = None if indice_key is None else tensor.indice_dict.get(("sites", indice_key))
    if known is None:
        return None
    if (known.kind, known.geometry) != (kind, geometry):
        raise ValueError(
            f"indice_key '{indice_key}' is in use for another convolution: {known.kind} with kernel size, stride and "
            f"padding {known.geometry}, here {kind} with {geometry}"
        )
    if not known.fine.are_those_of(tensor):
        raise ValueError(
            f"indice_key '{indice_key}' is in use for other sites: {_described(known.fine)}, here {_described(tensor)}"
        )
    return known


def keep_sites(tensor: SparseConvTensor, indice_key: str | None, sites: KnownSites) -> KnownSites:
    """Keep sites under a key for other layers, if there is a key, and return them."""
    if indice_key is not None:
        tensor.indice_dict["sites", indice_key] = sites
    return sites


def sites_to_undo(tensor: SparseConvTensor, kernel_size: int, indice_key: str | None) -> KnownSites:
    """Return the sites of the strided convolution that an inverse convolution undoes.

    Raises:
        ValueError: there is none of this key and kernel size, or the image is not on the sites that it led to.
    """
    known = tensor.indice_dict.get(("sites", indice_key))
    if known is None or known.kind != STRIDED or known.geometry[0] != kernel_size:
        raise ValueError(f"no convolution of kernel size {kernel_size} with indice_key '{indice_key}'")
    if not known.coarse.are_those_of(tensor):
        raise ValueError(
            f"the convolution with indice_key '{indice_key}' led to other sites: {_described(known.coarse)}, "
            f"here {_described(tensor)}"
        )
    return known


def coarse_shape(spatial_shape: Sequence[int], kernel_size: int, stride: int, padding: int) -> list[int]:
    """Return the spatial shape after a strided convolution, that of a dense one.

    Raises:
        ValueError: the kernel is larger than the image, so that there is no output.
    """
    shape = [(n + 2 * padding - kernel_size) // stride + 1 for n in spatial_shape]
    if min(shape) < 1:
        raise ValueError(
            f"a kernel of {kernel_size} with padding {padding} does not fit into an image of "
            f"{' x '.join(map(str, spatial_shape))} sites"
        )
    return shape


def _sorted_keys(tensor: SparseConvTensor) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the sorted keys of the sites and, where the rows are not in that order, the row of each key.

    They are kept beside the kernel maps, since several of these start from the same sites.
    """
    known = tensor.indice_dict.setdefault("sorted keys", [])
    for sites, keys, rows in known:
        if sites.are_those_of(tensor):
            return keys, rows
    keys, rows = _sorted_and_checked(tensor.indices)
    known.append((Sites(tensor.indices, tensor.spatial_shape), keys, rows))
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
    """Return the kernel map of a submanifold convolution, from the tensor's cache where it is there.

    Raises:
        ValueError: the key is in use for something else, or a site occurs twice.
    """
    geometry = (kernel_size, 1, 0)
    known = known_sites(tensor, SUBMANIFOLD, geometry, indice_key)
    if known is None:
        keys, rows = _sorted_keys(tensor)
        kernel_map = submanifold_map(keys, kernel_size)
        if rows is not None:
            kernel_map = kernel_map.with_rows(in_order=rows, out_order=rows)
        sites = Sites(tensor.indices, tensor.spatial_shape)
        known = keep_sites(tensor, indice_key, KnownSites(SUBMANIFOLD, geometry, sites, sites, kernel_map))
    return known.kernel_map


def strided_sites(
    tensor: SparseConvTensor, kernel_size: int, stride: int, padding: int, indice_key: str | None
) -> KnownSites:
    """Return the sites of a strided convolution, from the tensor's cache where they are there.

    Raises:
        ValueError: the key is in use for something else, a site occurs twice, or the image is too small.
    """
    geometry = (kernel_size, stride, padding)
    known = known_sites(tensor, STRIDED, geometry, indice_key)
    if known is not None:
        return known
    shape = coarse_shape(tensor.spatial_shape, *geometry)
    keys, rows = _sorted_keys(tensor)
    kernel_map, coarse_keys = downsample_map(keys, *geometry, shape)
    if rows is not None:
        kernel_map = kernel_map.with_rows(in_order=rows)
    indices = torch.from_numpy(coordinates_from_keys(coarse_keys)).to(tensor.indices.dtype)
    fine, coarse = Sites(tensor.indices, tensor.spatial_shape), Sites(indices, shape)
    if indice_key is not None:
        tensor.indice_dict["sorted keys"].append((coarse, coarse_keys, None))
    return keep_sites(tensor, indice_key, KnownSites(STRIDED, geometry, fine, coarse, kernel_map))
