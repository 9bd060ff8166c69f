"""Writer of LArCV3 HDF5 files through h5py."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from mlreco.iotools.hdf5file import AtomicFile, atomic_hdf5
from mlreco.iotools.interface import ClusterVoxels, flat_index
from mlreco.iotools.larcv3.extension import CHILD, CHILDREN, CHILDREN_FIELD, EXTENSION, extension_type, split
from mlreco.iotools.larcv3.growing_table import GrowingTable
from mlreco.iotools.larcv3.layout import (
    DATA_GROUP,
    EVENT_ID,
    EVENTS_TABLE,
    EXTENTS,
    ID_EXTENTS,
    IMAGE_META,
    KINDS,
    TYPES,
    VOXEL,
    group_name,
    split_product,
)
from mlreco.iotools.partial import PartialHDF5
from mlreco.voxels import EventVoxels, ImageMeta

LIBRARY_VERSIONS = ("earliest", "v110")
"""Oldest and newest version of the HDF5 library that reads the files; that of the larcv library is among them."""

CHUNK_ROWS = 4096
_BUFFERED_ROWS = 1 << 18
COMPRESSED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
CHECKED = {"fletcher32": True}
"""A cache has a checksum for each chunk; compressed chunks have one of their own."""

Product = EventVoxels | ClusterVoxels | np.ndarray
"""An image with one feature, voxel sets, or a particle table."""


class LArCV3Writer:
    """Writes events one at a time; the file appears under its name when the ``with`` block ends without an error.

    The files are read by the larcv library as well: every product has one projection an event, voxel sets at least one
    (possibly empty) set, and rows of 4096 a chunk, gzip-1 with shuffle. Fields of particles that LArCV3 lacks go to a
    table beside the particles, which the library ignores and ``LArCV3Reader`` reads.

    Args:
        path: name of the file to make; an older one is replaced.
        compress: False for a training cache, several times faster to read and larger.
        attributes: attributes of the file.
        opened: gives the file to write to; `atomic_hdf5` by default. Where the file holds events already
            (`partial_hdf5`), new ones are appended.

    Attributes:
        num_events: events in the file and in the buffers.

    Raises:
        UserError: the disk is full, the folder is missing or may not be written.
    """

    def __init__(
        self,
        path: str | Path,
        compress: bool = True,
        attributes: Mapping[str, str] | None = None,
        opened: contextlib.AbstractContextManager[AtomicFile | PartialHDF5] | None = None,
    ) -> None:
        self.path = Path(path)
        self._opening = opened or atomic_hdf5(self.path, LIBRARY_VERSIONS)
        self._compress = compress
        self._attributes = dict(attributes or {})
        self._output: AtomicFile | PartialHDF5 | None = None
        self._tables: dict[str, GrowingTable] = {}
        self._extensions: dict[str, np.dtype | None] = {}
        self._products: tuple[str, ...] | None = None
        self.num_events = 0

    def __enter__(self) -> LArCV3Writer:
        with contextlib.ExitStack() as stack:
            self._output = stack.enter_context(self._opening)
            if EVENTS_TABLE in self._output.file:
                self._take_up(self._output.file)
            else:
                self._output.file.attrs.update(self._attributes)
                self._output.file.create_group(DATA_GROUP)
                self._tables["events"] = self._table(EVENTS_TABLE, EVENT_ID)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is not None:
                raise error
            self.flush()

    def append(self, event_id: np.ndarray | tuple[int, int, int], products: Mapping[str, Product]) -> None:
        """Add an event.

        Args:
            event_id: run, subrun, event.
            products: name (``sparse3d_pcluster``) to content; the same names in every event.

        Raises:
            ValueError: other products than in the first event, a name of an unknown kind, or content that does not fit
                the kind or lies outside the image.
            UserError: the disk is full.
        """
        if self._products is None:
            self._products = tuple(sorted(products))
            for product in self._products:
                self._create(product, products[product])
        if tuple(sorted(products)) != self._products:
            raise ValueError(f"event {self.num_events} has products {sorted(products)}, not {list(self._products)}")
        for product, content in products.items():
            kind, _ = split_product(product)
            if kind == "sparse3d" and isinstance(content, EventVoxels) and content.features.shape[1] == 1:
                self._append_image(product, content)
            elif kind == "cluster3d" and isinstance(content, ClusterVoxels):
                self._append_sets(product, content)
            elif kind == "particle" and isinstance(content, np.ndarray) and content.dtype.names:
                self._append_particles(product, content)
            else:
                raise ValueError(f"'{product}' cannot hold {type(content).__name__}")
        self._tables["events"].append(np.array([tuple(int(number) for number in event_id)], dtype=EVENT_ID))
        self.num_events += 1
        if sum(table.buffered for table in self._tables.values()) > _BUFFERED_ROWS:
            self.flush()

    def flush(self, keep: bool = False) -> None:
        """Write what is buffered.

        Args:
            keep: make it durable, where the file is one that can be continued.

        Raises:
            UserError: the disk is full.
        """
        for table in self._tables.values():
            table.flush()
        self._opened().check(keep)

    def _append_image(self, product: str, image: EventVoxels) -> None:
        voxels = self._tables[f"{product}/voxels"]
        extent = np.array([(voxels.length, len(image), 0)], dtype=ID_EXTENTS)
        self._append_projection(product, "voxel_extents", extent, image.meta)
        voxels.append(_voxels(image.coordinates, image.features[:, 0], image.meta))

    def _append_sets(self, product: str, clusters: ClusterVoxels) -> None:
        voxels, extents = self._tables[f"{product}/voxels"], self._tables[f"{product}/cluster_extents"]
        if (np.diff(clusters.sets) < 0).any() or (len(clusters) and clusters.sets[-1] >= clusters.num_sets):
            raise ValueError(f"'{product}': voxels must stand set after set, with set numbers below num_sets")
        num_sets = max(clusters.num_sets, 1)
        rows = np.zeros(num_sets, dtype=ID_EXTENTS)
        rows["N"] = np.bincount(clusters.sets, minlength=num_sets)
        rows["first"] = voxels.length + np.cumsum(rows["N"], dtype=np.int64) - rows["N"]
        rows["ID"] = np.arange(num_sets)
        extent = np.array([(extents.length, num_sets, 0)], dtype=ID_EXTENTS)
        self._append_projection(product, "projection_extents", extent, clusters.meta)
        extents.append(rows)
        voxels.append(_voxels(clusters.coordinates, clusters.values, clusters.meta))

    def _append_projection(self, product: str, name: str, extent: np.ndarray, meta: ImageMeta) -> None:
        table = self._tables[f"{product}/{name}"]
        self._tables[f"{product}/extents"].append(np.array([(table.length, 1)], dtype=EXTENTS))
        table.append(extent)
        sizes = np.multiply(meta.shape, meta.voxel_size)
        self._tables[f"{product}/image_meta"].append(np.array([(1, 0, sizes, meta.shape, meta.origin)], IMAGE_META))

    def _append_particles(self, product: str, particles: np.ndarray) -> None:
        tables = {name: self._tables.get(f"{product}/{name}") for name in ("particles", EXTENSION, CHILDREN)}
        if extension_type(particles.dtype) != self._extensions[product]:
            raise ValueError(f"'{product}': event {self.num_events} has other fields than the first")
        children = tables[CHILDREN]
        first_child = 0 if children is None else children.length
        try:
            parts = split(particles, first_child)
        except ValueError as error:
            raise ValueError(f"'{product}': event {self.num_events}: {error}") from None
        first = self._tables[f"{product}/particles"].length
        self._tables[f"{product}/extents"].append(np.array([(first, len(parts[0]))], EXTENTS))
        for table, rows in zip(tables.values(), parts, strict=True):
            if table is not None:
                table.append(rows)

    def _take_up(self, file: h5py.File) -> None:
        """Find the tables of a file that holds events already."""
        self._tables["events"] = GrowingTable(file[EVENTS_TABLE])
        self.num_events = self._tables["events"].length
        self._products = tuple(sorted(name.removesuffix("_group") for name in file[DATA_GROUP])) or None
        for product in self._products or ():
            group = file[group_name(product)]
            self._tables.update({f"{product}/{name}": GrowingTable(group[name]) for name in group})
            if split_product(product)[0] == "particle":
                self._extensions[product] = group[EXTENSION].dtype if EXTENSION in group else None

    def _create(self, product: str, content: Product) -> None:
        kind, producer = split_product(product)
        if kind not in KINDS or not producer:
            raise ValueError(f"'{product}' must be KIND_PRODUCER with a kind of {', '.join(KINDS)}")
        for name in KINDS[kind]:
            self._tables[f"{product}/{name}"] = self._table(f"{group_name(product)}/{name}", TYPES[name])
        if isinstance(content, np.ndarray) and content.dtype.names:
            extension = self._extensions[product] = extension_type(content.dtype)
            if extension is not None:
                self._tables[f"{product}/{EXTENSION}"] = self._table(f"{group_name(product)}/{EXTENSION}", extension)
            if CHILDREN_FIELD in content.dtype.names:
                self._tables[f"{product}/{CHILDREN}"] = self._table(f"{group_name(product)}/{CHILDREN}", CHILD)

    def _table(self, name: str, dtype: np.dtype) -> GrowingTable:
        options = COMPRESSED if self._compress else CHECKED
        file = self._opened().file
        return GrowingTable(file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(CHUNK_ROWS,), **options))

    def _opened(self) -> AtomicFile | PartialHDF5:
        if self._output is None:
            raise ValueError("LArCV3Writer is used outside its with block")
        return self._output


def _voxels(coordinates: np.ndarray, values: np.ndarray, meta: ImageMeta) -> np.ndarray:
    """Return voxel rows; refuse voxels outside the image."""
    if len(coordinates) and ((coordinates < 0).any() or (coordinates >= meta.shape).any()):
        raise ValueError(f"a voxel lies outside the image of {meta.shape} voxels")
    rows = np.zeros(len(coordinates), dtype=VOXEL)
    rows["id"] = flat_index(coordinates, meta.shape)
    rows["value"] = values
    return rows
