"""Geometry of the images of one LArCV2 product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlreco.iotools.geometry import image_geometry, sound_geometries
from mlreco.iotools.interface import NO_IMAGE
from mlreco.iotools.larcv2.layout import META_COUNTS, META_ORIGINS, META_SIZES
from mlreco.iotools.voxel_rows import Fail
from mlreco.voxels import ImageMeta


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
        self._valid = sound_geometries(self._shape, self._origin, self._size)

    def meta(self, index: int, has_voxels: bool, fail: Fail) -> ImageMeta:
        """Return the geometry of an event; an empty event without a valid one gets that of the product's first.

        Raises:
            UserError: voxels without a valid geometry.
        """
        if not self._valid[index]:
            if not has_voxels and not self._valid.any():
                return NO_IMAGE
            index = index if has_voxels else int(np.argmax(self._valid))
        return image_geometry(
            self._shape[index].tolist(), self._origin[index].tolist(), self._size[index].tolist(), fail
        )
