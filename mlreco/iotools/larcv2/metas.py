"""Geometry of the images of one LArCV2 product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlreco.iotools.interface import NO_IMAGE
from mlreco.iotools.larcv2.layout import META_COUNTS, META_ORIGINS, META_SIZES
from mlreco.iotools.voxel_rows import Fail
from mlreco.voxels import ImageMeta

_LARGEST = 2.0**62


class Metas:
    """Geometry by event; all of it is held in memory.

    Args:
        leaves: name of a leaf to its branch.

    Raises:
        KeyError: a leaf of the geometry is missing.
    """

    def __init__(self, leaves: Mapping[str, Any]) -> None:
        origin = next((names for names in META_ORIGINS if names[0] in leaves), META_ORIGINS[0])
        self._shape, self._size, self._origin = (
            np.stack([leaves[name].array(library="np") for name in names], axis=1)
            for names in (META_COUNTS, META_SIZES, origin)
        )
        counts = self._shape.astype(np.float64)
        sound = (counts > 0).all(axis=1) & (counts.prod(axis=1) <= _LARGEST)
        self._valid = sound & np.isfinite(self._size).all(axis=1) & np.isfinite(self._origin).all(axis=1)

    def meta(self, index: int, has_voxels: bool, fail: Fail) -> ImageMeta:
        """Return the geometry of an event; an empty event without a valid one gets that of the product's first.

        Raises:
            UserError: voxels without a valid geometry.
        """
        if not self._valid[index]:
            if has_voxels:
                raise fail(f"has an image of {' x '.join(map(str, self._shape[index].tolist()))} voxels")
            if not self._valid.any():
                return NO_IMAGE
            index = int(np.argmax(self._valid))
        x, y, z = self._shape[index].tolist()
        return ImageMeta((x, y, z), tuple(self._origin[index].tolist()), tuple(self._size[index].tolist()))
