"""Reader of LArCV3 HDF5 files through h5py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.filekind import has_content, hdf5_content, open_hdf5, telling_damage
from mlreco.iotools.ids import event_numbers
from mlreco.iotools.interface import ClusterVoxels
from mlreco.iotools.larcv3.columns import sound_table
from mlreco.iotools.larcv3.extension import CHILDREN, EXTENSION, join
from mlreco.iotools.larcv3.layout import DATA_GROUP, EVENTS_TABLE, KINDS, SCHEME_ATTRIBUTE, split_product
from mlreco.iotools.larcv3.tables import ProductTables
from mlreco.iotools.voxel_rows import Fail, check_ids, check_values, image_of, sets_of
from mlreco.voxels import EventVoxels, ImageMeta

_WANTED = "a LArCV3 file"


class LArCV3Reader:
    """Events of one LArCV3 file.

    The file is checked when the reader is made, then opened again by each process that reads from it; pickling
    drops the handle. Tables of row ranges are held in memory, voxels are read with one slice per product and event.

    Args:
        path: the file.

    Attributes:
        class_scheme: numbering of the classes, where the file tells it: one that was converted may.

    Raises:
        UserError: the file is missing, truncated, or no LArCV3 file (the message says what it seems to be).
    """

    format_name = "LArCV3"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._process = -1
        self._tables: dict[str, ProductTables] = {}
        with open_hdf5(path, _WANTED) as file, telling_damage(path):
            self._read_contents(file)

    @classmethod
    def recognizes(cls, path: str | Path) -> bool:
        """Whether the content of the file is LArCV3.

        Raises:
            UserError: the file is missing, truncated or damaged.
        """
        return has_content(path, "LArCV3")

    def __len__(self) -> int:
        return len(self._event_ids)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_process": -1, "_tables": {}}

    def products(self) -> tuple[str, ...]:
        """Names of the products in the file, such as ``sparse3d_pcluster``."""
        return self._products

    def event_id(self, index: int) -> np.ndarray:
        """Return run, subrun and event number, (3,) int64."""
        return self._event_ids[index]

    def sparse3d(self, index: int, producer: str) -> EventVoxels:
        """Read an image with one feature.

        Args:
            index: number of the event in the file.
            producer: the part of the product's name after ``sparse3d_``.

        Returns:
            Sorted voxels; the only column is named after the producer.

        Raises:
            UserError: no such product, voxels outside the volume, a voxel twice, NaN or infinite values.
        """
        tables, fail = self._product(index, f"sparse3d_{producer}")
        row = tables.projection_row(index, "voxel_extents", fail)
        meta = tables.meta(row, fail)
        rows = slice(0, 0) if row is None else tables.rows_below("voxel_extents", row, "voxels", fail)
        ids, values = _decode(tables.read("voxels", rows, fail), meta, fail)
        return image_of(ids, values, producer, meta, fail)

    def cluster3d(self, index: int, producer: str) -> ClusterVoxels:
        """Read voxel sets; values of a voxel that occurs several times in one set are added.

        Args:
            index: number of the event in the file.
            producer: the part of the product's name after ``cluster3d_``.

        Raises:
            UserError: no such product, voxels outside the volume, NaN or infinite values, damaged row ranges.
        """
        tables, fail = self._product(index, f"cluster3d_{producer}")
        row = tables.projection_row(index, "projection_extents", fail)
        meta = tables.meta(row, fail)
        set_rows = slice(0, 0) if row is None else tables.rows_below("projection_extents", row, "cluster_extents", fail)
        extents = tables.read("cluster_extents", set_rows, fail)
        counts = extents["N"].astype(np.int64)
        firsts = extents["first"].astype(np.int64)
        rows = self._set_rows(firsts, counts, len(tables.tables["voxels"]), fail)
        ids, values = _decode(tables.read("voxels", rows, fail), meta, fail)
        return sets_of(ids, values, counts, meta, fail)

    def particles(self, index: int, producer: str) -> np.ndarray:
        """Read the particle table of an event.

        Args:
            index: number of the event in the file.
            producer: the part of the product's name after ``particle_``.

        Returns:
            Structured array with the fields of the file, those of the table beside the particles included; positions in
            cm, times in ns, energies in MeV.
        """
        tables, fail = self._product(index, f"particle_{producer}")
        rows = tables.event_rows(index, "particles", fail)
        particles = tables.read("particles", rows, fail)
        if EXTENSION not in tables.tables:
            return particles
        extension = tables.read(EXTENSION, rows, fail)
        try:
            return join(particles, extension, self._children(tables, extension, fail))
        except ValueError as error:
            raise fail(f"{error}; the file is damaged") from None

    def image_meta(self, index: int, product: str) -> ImageMeta:
        """Return the geometry of an image or of voxel sets, without reading voxels.

        Raises:
            UserError: no such product, damaged tables.
        """
        tables, fail = self._product(index, product)
        extents = "voxel_extents" if "voxel_extents" in tables.tables else "projection_extents"
        return tables.meta(tables.projection_row(index, extents, fail), fail)

    def voxel_counts(self, product: str) -> np.ndarray:
        """Return the number of voxels of an image, of sets or of particles in each event, (n,) int64, from the tables.

        Raises:
            UserError: no such product, or damaged tables.
        """
        if not len(self):
            return np.zeros(0, np.int64)
        tables, _ = self._product(0, product)
        return tables.counts(len(self), f"{self.path}: {product}")

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        self._tables = {}
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    @staticmethod
    def _children(tables: ProductTables, extension: np.ndarray, fail: Fail) -> np.ndarray:
        if CHILDREN not in tables.tables or not len(extension):
            return np.zeros(0, np.int64)
        first, counts = int(extension["first_child"][0]), extension["num_children"].astype(np.int64)
        end = first + int(counts.sum())
        if end > len(tables.tables[CHILDREN]):
            raise fail(f"points to rows up to {end} of table '{CHILDREN}' that has {len(tables.tables[CHILDREN])}")
        return tables.read(CHILDREN, slice(first, end), fail)

    @staticmethod
    def _set_rows(firsts: np.ndarray, counts: np.ndarray, available: int, fail: Fail) -> slice:
        filled = counts > 0
        if not filled.any():
            return slice(0, 0)
        firsts, counts = firsts[filled], counts[filled]
        ends = firsts + counts
        if (firsts[1:] != ends[:-1]).any():
            raise fail("its voxel sets do not follow one another; the file is damaged")
        if ends[-1] > available or firsts[0] < 0:
            raise fail(
                f"points to rows up to {ends[-1]} of table 'voxels' that has {available}; the file is incomplete"
            )
        return slice(int(firsts[0]), int(ends[-1]))

    def _read_contents(self, file: h5py.File) -> None:
        content = hdf5_content(file)
        if content != "LArCV3":
            raise UserError(f"{self.path}: not a LArCV3 file; it seems to be {content}")
        if EVENTS_TABLE not in file:
            raise UserError(f"{self.path}: table '{EVENTS_TABLE}' is missing; the file is incomplete")
        table = sound_table(file[EVENTS_TABLE], EVENTS_TABLE, str(self.path))[()]
        self._event_ids = np.stack([event_numbers(table[name], name) for name in ("run", "subrun", "event")], axis=1)
        groups = (name for name in sorted(file[DATA_GROUP]) if name.endswith("_group"))
        self._products = tuple(name.removesuffix("_group") for name in groups)
        told = file.attrs.get(SCHEME_ATTRIBUTE)
        self.class_scheme = told if isinstance(told, str) else None

    def _opened(self) -> h5py.File:
        if self._file is None or self._process != os.getpid():
            self._tables = {}
            self._file = open_hdf5(self.path, _WANTED, bulk=True)
            self._process = os.getpid()
        return self._file

    def _product(self, index: int, product: str) -> tuple[ProductTables, Fail]:
        if not 0 <= index < len(self):
            raise IndexError(f"event {index} of {len(self)} in {self.path}")
        file = self._opened()
        if product not in self._tables:
            if product not in self._products:
                raise UserError(f"{self.path}: no product '{product}'; the file holds {', '.join(self._products)}")
            if split_product(product)[0] not in KINDS:
                raise UserError(
                    f"{self.path}: product '{product}' is of a kind that is not read; known: {', '.join(KINDS)}"
                )
            with telling_damage(f"{self.path}: {product}"):
                self._tables[product] = ProductTables(file, str(self.path), product, len(self))
        return self._tables[product], lambda text: UserError(f"{self.path}: event {index}: {product}: {text}")


def _decode(voxels: np.ndarray, meta: ImageMeta, fail: Fail) -> tuple[np.ndarray, np.ndarray]:
    """Check voxel numbers and values; return (N,) int64 numbers and (N,) float32 values."""
    ids = check_ids(voxels["id"], meta, fail)
    return ids, check_values(ids, voxels["value"], meta, fail)
