"""Output files as input: their images and instances as the products of a LArCV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.filekind import OUTPUT_FILE, has_content
from mlreco.iotools.geometry import image_geometry
from mlreco.iotools.interface import ClusterVoxels, flat_index
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.iotools.voxel_rows import Fail, check_values, image_of, sets_of
from mlreco.voxels import EventVoxels, ImageMeta

IMAGES = {
    "sparse3d_pcluster": "energies",
    "sparse3d_pcluster_semantics": "semantics_true",
    "sparse3d_pcluster_fragments_semantics": "semantics",
}
"""Product as it is read -> product of the output file."""

SETS = {
    "cluster3d_pcluster": "instances_true",
    "cluster3d_pcluster_fragments": "fragments",
    "cluster3d_pcluster_instances": "instances",
}
_GEOMETRY = ("image_shape", "image_origin", "voxel_size")
_MOST_SETS = 1 << 20
VOXEL_PRODUCTS = ("coordinates", "energies", "event_id", *_GEOMETRY)
"""Products without which a file cannot be read as events."""


class OutputEventsReader:
    """Events of one output file, to be reconstructed or shown again.

    Products, where the file has what they are made of: ``sparse3d_pcluster`` (energies),
    ``sparse3d_pcluster_semantics`` (true classes), ``sparse3d_pcluster_fragments_semantics`` (classes in which was
    clustered), ``cluster3d_pcluster`` (true instances), ``cluster3d_pcluster_fragments`` and
    ``cluster3d_pcluster_instances``. Voxels without instance are
    in no set. There are no particles.

    Args:
        path: the file.

    Raises:
        UserError: the file is missing, truncated, incomplete, no output file, or one without voxels.
    """

    format_name = "output of mlreco"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reader = HDF5Reader(path)
        self.close()
        missing = [name for name in VOXEL_PRODUCTS if name not in self._reader.products]
        if missing:
            raise UserError(f"{path}: an output file without '{missing[0]}' holds no events that can be read again")
        self.class_scheme = self._reader.info.get("class_scheme") or "pilarnet"
        self._sources = {name: source for name, source in {**IMAGES, **SETS}.items() if source in self._reader.products}
        events = self._reader.range(0, len(self._reader), ["event_id"])["event_id"][0]
        self._event_ids = events.astype(np.int64)
        self.close()

    @classmethod
    def recognizes(cls, path: str | Path) -> bool:
        """Whether the content of the file is an output file.

        Raises:
            UserError: the file is missing, truncated or damaged.
        """
        return has_content(path, OUTPUT_FILE)

    def __len__(self) -> int:
        return len(self._event_ids)

    def products(self) -> tuple[str, ...]:
        """Names of the products."""
        return tuple(sorted(self._sources))

    def event_id(self, index: int) -> np.ndarray:
        """Return run, subrun and event number, (3,) int64."""
        return self._event_ids[index]

    def sparse3d(self, index: int, producer: str) -> EventVoxels:
        """Return an image with one feature, whose column is named after the producer.

        Raises:
            UserError: no such product, damaged data.
        """
        ids, values, meta, fail = self._voxels(index, f"sparse3d_{producer}")
        return image_of(ids, check_values(ids, values, meta, fail), producer, meta, fail)

    def cluster3d(self, index: int, producer: str) -> ClusterVoxels:
        """Return voxel sets, the number of a set being that of the instance; values are energies.

        Numbers of instances beyond ``_MOST_SETS`` would need as many sets: then the instances are numbered anew, in
        their order.

        Raises:
            UserError: no such product, damaged data.
        """
        ids, instances, meta, fail = self._voxels(index, f"cluster3d_{producer}")
        energies = self._reader.event(index, ["energies"])["energies"]
        order = np.argsort(instances, kind="stable")
        order = order[instances[order] >= 0]
        counts = np.bincount(_set_numbers(instances[order]))
        return sets_of(ids[order], check_values(ids, energies, meta, fail)[order], counts, meta, fail)

    def particles(self, index: int, producer: str) -> np.ndarray:
        """Output files hold no particles.

        Raises:
            UserError: always.
        """
        raise self._unknown(f"particle_{producer}")

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        self._reader.close()

    def _voxels(self, index: int, product: str) -> tuple[np.ndarray, np.ndarray, ImageMeta, Fail]:
        """Return voxel numbers, the values behind a product, the geometry and what makes an error."""
        if product not in self._sources:
            raise self._unknown(product)
        if not 0 <= index < len(self):
            raise IndexError(f"event {index} of {len(self)} in {self.path}")

        def fail(text: str) -> UserError:
            return UserError(f"{self.path}: event {index}: {product}: {text}")

        event = self._reader.event(index, ["coordinates", self._sources[product], *_GEOMETRY])
        coordinates, values = event["coordinates"], event[self._sources[product]]
        shape, origin, voxel_size = (event[name][0].tolist() for name in _GEOMETRY)
        meta = image_geometry(shape, origin, voxel_size, fail)
        if len(coordinates) and (coordinates >= meta.shape).any():
            raise fail(f"a voxel lies outside the image of {' x '.join(map(str, meta.shape))} voxels")
        return flat_index(coordinates, meta.shape), values, meta, fail

    def _unknown(self, product: str) -> UserError:
        return UserError(f"{self.path}: no product '{product}'; the file holds {', '.join(self.products()) or 'none'}")


def _set_numbers(instances: np.ndarray) -> np.ndarray:
    """Return the number of the set of each instance, (N,) int64, for sorted numbers of instances."""
    if len(instances) and int(instances[-1]) >= _MOST_SETS:
        return np.unique(instances, return_inverse=True)[1]
    return instances.astype(np.int64)
