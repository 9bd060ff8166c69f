"""The sparse image that sparse convolutions take and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mlreco.sparse.arguments import whole

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class SparseConvTensor:
    """Features on the active sites of a batch of 3D images, with spconv's names.

    Rows keep their order: submanifold convolutions return rows in the order of their input, an inverse convolution in
    that of the input of the convolution which it undoes. ``indices`` must not be changed in place.

    Args:
        features: (N, C) floating point.
        indices: (N, 4) integers: batch index, x, y, z; no site twice.
        spatial_shape: number of sites along x, y, z.
        batch_size: number of images, empty ones included.
        indice_dict: kernel maps of other tensors of the same image.

    Raises:
        ValueError: shapes or types do not fit each other, or a site lies outside the image or the batch. For sites on a
            CUDA device the second check waits for the device; ``trusted`` makes an image without it.
    """

    def __init__(
        self,
        features: torch.Tensor,
        indices: torch.Tensor,
        spatial_shape: Sequence[int],
        batch_size: int,
        indice_dict: dict[Any, Any] | None = None,
    ) -> None:
        self._set(features, indices, spatial_shape, batch_size, indice_dict)
        _refuse_sites_outside(self)

    def _set(
        self,
        features: torch.Tensor,
        indices: torch.Tensor,
        spatial_shape: Sequence[int],
        batch_size: int,
        indice_dict: dict[Any, Any] | None,
    ) -> None:
        if not (torch.is_tensor(features) and torch.is_tensor(indices)):
            raise ValueError(f"features and indices must be tensors, not {type(features)} and {type(indices)}")
        if indices.ndim != 2 or indices.shape[1] != 4 or indices.dtype not in _INTEGERS:
            raise ValueError(f"indices must be (N, 4) integers, not {tuple(indices.shape)} of {indices.dtype}")
        if not hasattr(spatial_shape, "__len__") or len(spatial_shape) != 3:
            raise ValueError(f"spatial_shape must be three integers of at least 1, not {spatial_shape}")
        self.spatial_shape = [whole("spatial_shape", n, 1) for n in spatial_shape]
        self.batch_size = whole("batch_size", batch_size, 0)
        self.indices = indices
        self.indice_dict: dict[Any, Any] = {} if indice_dict is None else indice_dict
        self.features = _checked(features, indices)

    @classmethod
    def trusted(
        cls,
        features: torch.Tensor,
        indices: torch.Tensor,
        spatial_shape: Sequence[int],
        batch_size: int,
        indice_dict: dict[Any, Any] | None = None,
    ) -> SparseConvTensor:
        """Return an image whose sites are known to lie inside; the arguments are those of the class."""
        tensor = cls.__new__(cls)
        tensor._set(features, indices, spatial_shape, batch_size, indice_dict)
        return tensor

    def replace_feature(self, features: torch.Tensor) -> SparseConvTensor:
        """Return the same sites with other features, (N, C'), sharing the kernel maps."""
        tensor = type(self).__new__(type(self))
        tensor.__dict__ = {**self.__dict__, "features": _checked(features, self.indices)}
        return tensor

    def dense(self) -> torch.Tensor:
        """Return the (B, C, X, Y, Z) dense image, zero outside the active sites."""
        batch, x, y, z = self.indices.long().unbind(1)
        image = self.features.new_zeros(self.batch_size, *self.spatial_shape, self.features.shape[1])
        return image.index_put((batch, x, y, z), self.features).permute(0, 4, 1, 2, 3)


def _checked(features: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Return features that fit the sites."""
    if features.ndim != 2 or features.shape[0] != indices.shape[0] or not features.is_floating_point():
        raise ValueError(
            f"features must be ({len(indices)}, C) floating point numbers, one row for each site, "
            f"not {tuple(features.shape)} of {features.dtype}"
        )
    if features.layout != torch.strided:
        raise ValueError(f"features must be a dense table of the sites, not one of the layout {features.layout}")
    if features.device != indices.device:
        raise ValueError(f"features are on {features.device} and indices on {indices.device}")
    return features


def _refuse_sites_outside(tensor: SparseConvTensor) -> None:
    indices, limits = tensor.indices, [tensor.batch_size, *tensor.spatial_shape]
    if not len(indices):
        return
    lowest, highest = torch.stack([torch.stack(column.aminmax()) for column in indices.unbind(1)], dim=1).tolist()
    if min(lowest) >= 0 and all(n < limit for n, limit in zip(highest, limits, strict=True)):
        return
    bounds = torch.tensor(limits, device=indices.device)
    outside = ((indices < 0) | (indices >= bounds)).any(dim=1)
    batch, x, y, z = indices[outside][0].tolist()
    raise ValueError(
        f"site ({x}, {y}, {z}) of image {batch} lies outside: images are "
        f"{' x '.join(map(str, tensor.spatial_shape))} sites, and there are {tensor.batch_size} in the batch"
    )


def require_image(layer: nn.Module, given: object) -> None:
    """Refuse what is no sparse image on the device of a layer.

    Args:
        layer: the layer that was called.
        given: what it was called with.

    Raises:
        TypeError: it is something else.
        ValueError: it is on another device than the layer's own parameters.
    """
    if not isinstance(given, SparseConvTensor):
        raise TypeError(
            f"{type(layer).__name__} takes a SparseConvTensor, not {_named(given)}; features of sites become one by "
            "SparseConvTensor(features, indices, spatial_shape, batch_size)"
        )
    _require_device(layer, given.features)


def require_images(layer: nn.Module, given: object, number: int) -> None:
    """Refuse what is no list of so many sparse images, all on one device.

    Raises:
        TypeError: it is something else, or an item is.
        ValueError: there are more or fewer, or they are on different devices.
    """
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"{type(layer).__name__} takes a list of SparseConvTensor, not {_named(given)}")
    for image in given:
        require_image(layer, image)
    if len(given) != number:
        raise ValueError(f"{type(layer).__name__} takes {number} levels, the finest first, not {len(given)}")
    devices = {str(image.features.device) for image in given}
    if len(devices) > 1:
        raise ValueError(
            f"{type(layer).__name__} takes levels that are on one device, not on {', '.join(sorted(devices))}"
        )


def require_features(layer: nn.Module, given: object) -> None:
    """Refuse what is no table of the features of sites on the device of a layer.

    Raises:
        TypeError: it is no tensor.
        ValueError: it is on another device than the layer's own parameters.
    """
    if not isinstance(given, torch.Tensor):
        hint = "; call image.replace_feature(layer(image.features))" if isinstance(given, SparseConvTensor) else ""
        raise TypeError(f"{type(layer).__name__} takes the (N, C) features of sites, not {_named(given)}{hint}")
    _require_device(layer, given)


def _require_device(layer: nn.Module, features: torch.Tensor) -> None:
    """Refuse features on another device than what a layer itself holds; the layers inside have doors of their own."""
    for tensors in (layer._parameters, layer._buffers):
        for name, tensor in tensors.items():
            if tensor is not None and tensor.device != features.device:
                raise ValueError(
                    f"the {name} of {type(layer).__name__} is on {tensor.device} and its input on {features.device}; "
                    "move one of them with .to(device)"
                )


def _named(given: object) -> str:
    return f"{type(given).__name__} {tuple(given.shape)}" if isinstance(given, torch.Tensor) else type(given).__name__
