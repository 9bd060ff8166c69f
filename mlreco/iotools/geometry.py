"""The geometry of an image in a file, checked in the same way by all readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from mlreco.errors import UserError
from mlreco.voxels import ImageMeta

_MOST_VOXELS = 2.0**62
"""Voxels of an image at most: their numbers are int64, together with the number of a set or event."""

_SMALLEST_VOXEL, _FARTHEST = 1e-9, 1e12
"""cm; with smaller voxels, or at larger distances, lengths and volumes are not finite in float32."""

_LONGEST_SIDE = 2**31 - 1
"""Coordinates of voxels are int32."""


def sound_shapes(shapes: np.ndarray) -> np.ndarray:
    """Tell which images have voxels that can be numbered.

    Args:
        shapes: (..., 3) numbers of voxels along x, y, z.

    Returns:
        (...,) bool.
    """
    sides = np.asarray(shapes, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return (sides >= 1).all(axis=-1) & (sides <= _LONGEST_SIDE).all(axis=-1) & (sides.prod(axis=-1) <= _MOST_VOXELS)


def sound_geometries(shapes: np.ndarray, origins: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Tell which geometries can be used: shapes that can be numbered, finite origins, voxels that have a volume.

    Args:
        shapes: (..., 3) numbers of voxels.
        origins: (..., 3) cm.
        sizes: (..., 3) edges of a voxel, cm.

    Returns:
        (...,) bool.
    """
    with np.errstate(invalid="ignore"):
        near = (np.abs(origins) <= _FARTHEST).all(axis=-1)
        sized = ((np.asarray(sizes) >= _SMALLEST_VOXEL) & (np.asarray(sizes) <= _FARTHEST)).all(axis=-1)
    return sound_shapes(shapes) & near & sized


@lru_cache
def _is_sound(shape: tuple[int, ...], origin: tuple[float, ...], voxel_size: tuple[float, ...]) -> bool:
    """Return what `sound_geometries` says of one image; most images of a file have the same geometry."""
    return bool(sound_geometries(np.asarray(shape), np.asarray(origin), np.asarray(voxel_size)))


def image_geometry(
    shape: Sequence[int], origin: Sequence[float], voxel_size: Sequence[float], fail: Callable[[str], UserError]
) -> ImageMeta:
    """Return a geometry that can be used.

    Args:
        shape: three numbers of voxels.
        origin: cm.
        voxel_size: edges of a voxel, cm.
        fail: makes the error that names file, event and product.

    Raises:
        UserError: it cannot be used; says why.
    """
    if not _is_sound(tuple(shape), tuple(origin), tuple(voxel_size)):
        if not sound_shapes(np.asarray(shape)):
            raise fail(f"has an image of {' x '.join(map(str, shape))} voxels")
        where = ", ".join(f"{place:.6g}" for place in origin)
        edges = " x ".join(f"{edge:.6g}" for edge in voxel_size)
        raise fail(f"has an image with its origin at ({where}) cm and voxels of {edges} cm")
    x, y, z = map(int, shape)
    left, bottom, front = map(float, origin)
    width, height, depth = map(float, voxel_size)
    return ImageMeta((x, y, z), (left, bottom, front), (width, height, depth))
