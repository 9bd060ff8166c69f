"""The tables of an image: made for a whole encoder at once, kept in the image, and found again by every layer.

They are kept apart from what spconv keeps in the image, because its coarse sites are in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mlreco.sparse.gathered import morton
from mlreco.sparse.gathered.parts import Halving
from mlreco.sparse.gathered.tables import levels_of
from mlreco.sparse.maps.sites import STRIDED, SUBMANIFOLD, KnownSites, Sites, coarse_shape, known_sites, sites_to_undo
from mlreco.sparse.tensor import SparseConvTensor
from mlreco.sparse.weight_cache import remembered

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConv3d, SparseConvolution, SparseInverseConv3d, SubMConv3d
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder

KERNEL, HALVING = (3, 1, 0), (2, 2, 0)
"""Kernel size, stride and padding of the convolutions for which there are tables."""
_PLACE = "gathered"
"""Key of an image's ``indice_dict`` for the ``indice_dict`` of the images that have tables."""


def _of_encoder(encoder: UNetEncoder) -> Iterator[tuple[SparseConvolution, tuple[int, int, int]]]:
    """Yield the convolutions of an encoder that find sites, and what their geometry must be."""
    yield encoder.input, KERNEL
    for blocks in encoder.blocks:
        yield from ((block.convolution_1, KERNEL) for block in blocks)
    for down in encoder.downsamplings:
        yield down, HALVING


def encodes_by_tables(encoder: UNetEncoder, image: SparseConvTensor) -> bool:
    """Tell whether there can be tables of an image for an encoder: it has sites, and all of them have codes.

    Its features must be those that the encoder takes, as kernels do not look at their number.
    """
    if not len(image.indices) or not morton.fits(image.spatial_shape, image.batch_size):
        return False
    if image.features.shape[1] != encoder.input.in_channels:
        return False
    return remembered(encoder, "tables suffice", tuple, lambda: _tables_suffice(encoder))


def _tables_suffice(encoder: UNetEncoder) -> bool:
    """Tell whether the convolutions of an encoder are those that there are tables for, and share them by level."""
    for layer, geometry in _of_encoder(encoder):
        stride, padding = (1, 0) if layer.kind == SUBMANIFOLD else (layer.stride, layer.padding)
        if (layer.kernel_size, stride, padding) != geometry or layer.indice_key is None or layer.bias is not None:
            return False
    own = [{block.convolution_1.indice_key for block in blocks} for blocks in encoder.blocks]
    own[0].add(encoder.input.indice_key)
    keys = [*(key for keys in own for key in keys), *(down.indice_key for down in encoder.downsamplings)]
    return all(len(keys_of_level) == 1 for keys_of_level in own) and len(set(keys)) == len(keys)


def with_tables(encoder: UNetEncoder, image: SparseConvTensor) -> SparseConvTensor:
    """Return an image with the tables of all levels of an encoder, which are made where they are not known.

    Raises:
        ValueError: a site occurs twice.
    """
    kept = image.indice_dict.get(_PLACE)
    if kept is None or not _holds(kept, encoder, image):
        kept = image.indice_dict[_PLACE] = {}
        _keep_levels(kept, encoder, image)
    return SparseConvTensor.trusted(image.features, image.indices, image.spatial_shape, image.batch_size, kept)


def _holds(kept: dict[Any, Any], encoder: UNetEncoder, image: SparseConvTensor) -> bool:
    keys = [layer.indice_key for layer, _ in _of_encoder(encoder)]
    if any(("tables", key) not in kept for key in keys):
        return False
    return kept["sites", encoder.input.indice_key].fine.are_those_of(image)


def _keep_levels(kept: dict[Any, Any], encoder: UNetEncoder, image: SparseConvTensor) -> None:
    shape = image.spatial_shape
    levels = levels_of(image.indices, len(encoder.blocks))
    sites = []
    for blocks, level in zip(encoder.blocks, levels, strict=True):
        sites.append(here := Sites(level.indices, shape))
        _keep(kept, blocks[0].convolution_1, KnownSites(SUBMANIFOLD, KERNEL, here, here), level.neighbours)
        shape = coarse_shape(shape, *HALVING)
    for down, level, fine, coarse in zip(encoder.downsamplings, levels, sites, sites[1:], strict=False):
        _keep(kept, down, KnownSites(STRIDED, HALVING, fine, coarse), level.halving)


def _keep(kept: dict[Any, Any], layer: SparseConvolution, sites: KnownSites, tables: Tensor | Halving | None) -> None:
    kept["sites", layer.indice_key], kept["tables", layer.indice_key] = sites, tables


def has_tables(layer: SparseConvolution, image: SparseConvTensor) -> bool:
    """Tell whether there are tables in the image under the key of a layer."""
    return layer.indice_key is not None and ("tables", layer.indice_key) in image.indice_dict


def decodes_by_tables(decoder: UNetDecoder, levels: list[SparseConvTensor]) -> bool:
    """Tell whether a decoder finds in the levels the tables of all its convolutions, and the features that it takes."""
    for level, up, blocks in zip(levels, decoder.upsamplings, decoder.blocks, strict=False):
        layers = [up, *(block.convolution_1 for block in blocks)]
        if up.bias is not None or not all(has_tables(layer, levels[-1]) for layer in layers):
            return False
        if level.features.shape[1] + up.out_channels != blocks[0].in_channels:
            return False
    return not decoder.upsamplings or levels[-1].features.shape[1] == decoder.upsamplings[-1].in_channels


def neighbours_of(layer: SubMConv3d, image: SparseConvTensor) -> Tensor:
    """Return the (n, 27) rows of the neighbours of an image's sites.

    Raises:
        ValueError: the tables are those of another convolution or of other sites.
    """
    known_sites(image, SUBMANIFOLD, (layer.kernel_size, 1, 0), layer.indice_key)
    return image.indice_dict["tables", layer.indice_key]


def halving_of(layer: SparseConv3d, image: SparseConvTensor) -> tuple[KnownSites, Halving]:
    """Return sites and rows of a convolution that halves an image.

    Raises:
        ValueError: the tables are those of another convolution or of other sites.
    """
    geometry = (layer.kernel_size, layer.stride, layer.padding)
    known = known_sites(image, STRIDED, geometry, layer.indice_key)
    if known is None:
        raise ValueError(f"the image has no tables under the indice_key '{layer.indice_key}'")
    return known, image.indice_dict["tables", layer.indice_key]


def halving_undone_by(layer: SparseInverseConv3d, image: SparseConvTensor) -> tuple[KnownSites, Halving]:
    """Return sites and rows of the halving that a convolution undoes.

    Raises:
        ValueError: the image is not on the sites that the halving led to.
    """
    known = sites_to_undo(image, layer.kernel_size, layer.indice_key)
    return known, image.indice_dict["tables", layer.indice_key]
