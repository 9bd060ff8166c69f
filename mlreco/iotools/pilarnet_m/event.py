"""One event of a PILArNet-M file: points and clusters to images, voxel sets and particles."""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.interface import ClusterVoxels, flat_index, merge_equal
from mlreco.iotools.larcv3.layout import PARTICLE
from mlreco.iotools.pilarnet_m.layout import CLUSTER_COLUMNS, PDG_CODES, POINT_COLUMNS
from mlreco.iotools.voxel_rows import Fail, check_values, image_of, sets_of
from mlreco.voxels import EventVoxels, ImageMeta

PARTICLE_WITH_GROUPS = np.dtype(
    [
        *((name, PARTICLE[name]) for name in PARTICLE.names or ()),
        ("group_id", "<i8"),
        ("interaction_id", "<i8"),
        ("num_voxels", "<i4"),
    ]
)


class PointEvent:
    """Points and clusters of an event.

    Args:
        points: (N, 8) floats, columns ``POINT_COLUMNS``, cluster after cluster.
        clusters: (C, 5 or 6) floats, columns ``CLUSTER_COLUMNS``.
        meta: geometry of the image.

    Attributes:
        fail: makes the error that names file, event and product.
    """

    def __init__(self, points: np.ndarray, clusters: np.ndarray, meta: ImageMeta) -> None:
        self.fail: Fail = UserError
        self._points, self._clusters, self._meta = points, clusters, meta

    def energies(self, producer: str) -> EventVoxels:
        """Return the voxel values, those of a voxel in several clusters added."""
        ids, values = self._voxels()
        return image_of(*merge_equal(ids, values), producer, self._meta, self.fail)

    def semantics(self, producer: str) -> EventVoxels:
        """Return the class of each voxel, that of the largest value where there are several."""
        ids, values = self._voxels()
        classes = np.repeat(self._column("semantic"), self._counts()).astype(np.float32)
        order = np.lexsort((-values, ids))
        first = np.ones(len(order), dtype=bool)
        first[1:] = ids[order][1:] != ids[order][:-1]
        chosen = order[first]
        return image_of(ids[chosen], classes[chosen], producer, self._meta, self.fail)

    def fragments(self) -> ClusterVoxels:
        """Return the fragments in the order of the file, and last the voxels that are in none."""
        ids, values = self._voxels()
        counts, is_fragment = self._counts(), self._column("fragment") >= 0
        in_fragment = np.repeat(is_fragment, counts)
        order = np.concatenate([np.flatnonzero(in_fragment), np.flatnonzero(~in_fragment)])
        sizes = counts[is_fragment]
        if not is_fragment.all():
            sizes = np.append(sizes, counts[~is_fragment].sum())
        return sets_of(ids[order], values[order], sizes, self._meta, self.fail)

    def particles(self) -> np.ndarray:
        """Return a row for each fragment."""
        rows = np.flatnonzero(self._column("fragment") >= 0)
        table = np.zeros(len(rows), dtype=PARTICLE_WITH_GROUPS)
        for name in PARTICLE.names or ():
            if PARTICLE[name].kind == "f":
                table[name] = np.nan
            elif parts := PARTICLE[name].names:
                table[name] = (np.nan,) * len(parts)
        table["id"] = np.arange(len(rows))
        table["trackid"] = self._column("fragment")[rows]
        table["shape"] = self._column("semantic")[rows]
        table["group_id"] = self._column("group")[rows]
        table["interaction_id"] = self._column("interaction")[rows]
        table["num_voxels"] = self._counts()[rows]
        starts = np.concatenate(([0], np.cumsum(self._point_column("energy"), dtype=np.float64)))
        ends = np.cumsum(self._counts())
        table["energy_deposit"] = (starts[ends] - starts[ends - self._counts()])[rows]
        if self._clusters.shape[1] == len(CLUSTER_COLUMNS):
            table["pdg"] = PDG_CODES[self._column("particle_type")[rows].clip(-1, len(PDG_CODES) - 2)]
        return table

    def _voxels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return voxel numbers, (N,) int64, and values, (N,) float32, of all points."""
        positions = self._points[:, :3]
        if not (np.isfinite(positions).all() and (positions == np.floor(positions)).all()):
            raise self.fail("has points that do not stand on voxels")
        outside = (positions < 0) | (positions >= self._meta.shape)
        if outside.any():
            x, y, z = positions[outside.any(axis=1)][0].tolist()
            size = " x ".join(map(str, self._meta.shape))
            raise self.fail(f"voxel ({x:g}, {y:g}, {z:g}) lies outside the image of {size} voxels")
        ids = flat_index(positions, self._meta.shape)
        return ids, check_values(ids, self._point_column("value"), self._meta, self.fail)

    def _counts(self) -> np.ndarray:
        return self._column("points")

    def _column(self, name: str) -> np.ndarray:
        return self._clusters[:, CLUSTER_COLUMNS.index(name)].astype(np.int64)

    def _point_column(self, name: str) -> np.ndarray:
        return self._points[:, POINT_COLUMNS.index(name)]
