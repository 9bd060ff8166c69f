"""Leaves of images and voxel sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlreco.iotools.interface import ClusterVoxels
from mlreco.iotools.larcv2.layout import VOXEL_IDS, VOXEL_SETS, VOXEL_VALUES
from mlreco.iotools.larcv2.leaves import Leaf
from mlreco.iotools.larcv2.metas import Metas
from mlreco.iotools.larcv2.streams import voxel_sets
from mlreco.iotools.larcv2.voxel_order import to_c_order
from mlreco.iotools.voxel_rows import Fail, check_ids, check_values, image_of, sets_of
from mlreco.voxels import EventVoxels


class ImageLeaves:
    """Leaves of a sparse3d tree.

    Args:
        leaves: name of a leaf to its branch.

    Raises:
        KeyError: a leaf is missing.
    """

    def __init__(self, leaves: Mapping[str, Any]) -> None:
        self._ids, self._values = Leaf(leaves[VOXEL_IDS]), Leaf(leaves[VOXEL_VALUES])
        self.metas = Metas(leaves)

    def read(self, index: int, producer: str, fail: Fail) -> EventVoxels:
        """Return the image of an event.

        Raises:
            UserError: voxels outside the image, a voxel twice, NaN or infinite values.
        """
        ids, values = self._ids[index], self._values[index]
        if len(ids) != len(values):
            raise fail(f"has {len(ids)} voxel ids and {len(values)} values; the file is damaged")
        meta = self.metas.meta(index, len(ids) > 0, fail)
        ids = to_c_order(check_ids(ids, meta, fail), meta.shape)
        return image_of(ids, check_values(ids, values, meta, fail), producer, meta, fail)


class ClusterLeaves:
    """Leaves of a cluster3d tree.

    Args:
        leaves: name of a leaf to its branch.

    Raises:
        KeyError: a leaf is missing.
    """

    def __init__(self, leaves: Mapping[str, Any]) -> None:
        import uproot

        self._sets = Leaf(leaves[VOXEL_SETS], uproot.AsJagged(uproot.AsDtype("u1")))
        self.metas = Metas(leaves)

    def read(self, index: int, fail: Fail) -> ClusterVoxels:
        """Return the voxel sets of an event.

        Raises:
            UserError: voxels outside the image, NaN or infinite values.
            ValueError: a stream that cannot be decoded.
        """
        counts, ids, values = voxel_sets(np.asarray(self._sets[index]))
        meta = self.metas.meta(index, len(ids) > 0, fail)
        ids = to_c_order(check_ids(ids, meta, fail), meta.shape)
        return sets_of(ids, check_values(ids, values, meta, fail), counts, meta, fail)
