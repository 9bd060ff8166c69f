"""Reader of PILArNet-M HDF5 files, which presents their events as the products of a LArCV file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mlreco.errors import UserError
from mlreco.inputs import input_file
from mlreco.iotools.filekind import PILARNET_M, has_content, hdf5_content, open_hdf5, telling_damage
from mlreco.iotools.hdf5_tables import stored_table
from mlreco.iotools.interface import ClusterVoxels
from mlreco.iotools.pilarnet_m.event import PointEvent
from mlreco.iotools.pilarnet_m.layout import (
    CLASS_SCHEME,
    CLUSTER_WIDTHS,
    CLUSTERS,
    IMAGE_SIZE,
    POINT_COLUMNS,
    POINTS,
    PRODUCER,
    PRODUCTS,
    SIDECAR,
    VOXEL_SIZE,
    fits,
    rows_of,
)
from mlreco.iotools.pilarnet_m.variable_rows import VariableRows
from mlreco.voxels import EventVoxels, ImageMeta


class PILArNetMReader:
    """Events of one PILArNet-M file.

    Products: ``sparse3d_pcluster`` (voxel values), ``sparse3d_pcluster_semantics`` (classes of the ``mlreco`` scheme),
    ``cluster3d_pcluster`` (a set for each fragment, and a last one for low-energy voxels that are in none) and
    ``particle_pcluster`` (a row for each fragment, with ``group_id`` and ``interaction_id``). Files do not hold the
    size of the image (768 voxels of 3 mm are assumed), nor run and event numbers: event i is (0, 0, i).

    Args:
        path: the file.
        image_size: voxels along each side of the image.

    Raises:
        UserError: the file is missing, truncated, or no PILArNet-M file (the message says what it seems to be).
    """

    format_name = "PILArNet-M"
    class_scheme = CLASS_SCHEME

    def __init__(self, path: str | Path, image_size: int = IMAGE_SIZE) -> None:
        self.path = Path(path)
        self._meta = ImageMeta((image_size,) * 3, (0.0, 0.0, 0.0), (VOXEL_SIZE,) * 3)
        self._file: h5py.File | None = None
        self._process = -1
        self._last: tuple[int, PointEvent] | None = None
        self._rows: dict[str, VariableRows] = {}
        try:
            with telling_damage(path):
                self._check(self._opened())
        finally:
            self.close()

    @classmethod
    def recognizes(cls, path: str | Path) -> bool:
        """Whether the content of the file is PILArNet-M.

        Raises:
            UserError: the file is missing, truncated or damaged.
        """
        return has_content(path, PILARNET_M)

    def __len__(self) -> int:
        return self._num_events

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_process": -1, "_last": None, "_rows": {}}

    def products(self) -> tuple[str, ...]:
        """Names of the products."""
        return PRODUCTS

    def event_id(self, index: int) -> np.ndarray:
        """Return run, subrun and event number, (3,) int64: the files have none, so (0, 0, index)."""
        return np.array([0, 0, index], dtype=np.int64)

    def sparse3d(self, index: int, producer: str) -> EventVoxels:
        """Return the voxel values or classes; the only column is named after the producer.

        A voxel that occurs in several clusters has the sum of its values, and the class of the largest.

        Raises:
            UserError: no such product, damaged data.
        """
        self._check_product(f"sparse3d_{producer}")
        event = self._event(index, f"sparse3d_{producer}")
        return event.energies(producer) if producer == PRODUCER else event.semantics(producer)

    def cluster3d(self, index: int, producer: str) -> ClusterVoxels:
        """Return the fragments, in the order of the file, and last the voxels that are in none.

        Raises:
            UserError: no such product, damaged data.
        """
        self._check_product(f"cluster3d_{producer}")
        return self._event(index, f"cluster3d_{producer}").fragments()

    def particles(self, index: int, producer: str) -> np.ndarray:
        """Return a row for each fragment: LArCV3's fields, ``group_id``, ``interaction_id``, ``num_voxels``.

        Numbers that the file does not have are NaN; unknown particle types are 0.

        Raises:
            UserError: no such product, damaged data.
        """
        self._check_product(f"particle_{producer}")
        return self._event(index, f"particle_{producer}").particles()

    def image_meta(self, index: int, product: str) -> ImageMeta:
        """Return the geometry that is assumed for all events.

        Raises:
            UserError: no such product.
        """
        self._check_product(product)
        return self._meta

    def voxel_counts(self, product: str) -> np.ndarray | None:
        """Return the number of points of each event, (n,) int64, from the file beside this one; None without it."""
        sidecar = self.path.with_name(self.path.stem + SIDECAR)
        if product != f"sparse3d_{PRODUCER}" or not sidecar.exists():
            return None
        input_file(sidecar)
        try:
            # memory-mapped, since then an array cannot be declared longer than its file
            counts = np.array(np.load(sidecar, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{sidecar}: cannot be read: {str(error).splitlines()[0]}") from None
        if counts.shape != (len(self),) or counts.dtype.kind not in "iu":
            raise UserError(
                f"{sidecar}: holds {counts.dtype} {counts.shape} and not a count for each of {len(self)} events"
            )
        return counts.astype(np.int64)

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        self._last, self._rows = None, {}
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    def _opened(self) -> h5py.File:
        if self._file is None or self._process != os.getpid():
            self._rows = {}
            self._file = open_hdf5(self.path, "a PILArNet-M file")
            self._process = os.getpid()
        return self._file

    def _check(self, file: h5py.File) -> None:
        content = hdf5_content(file)
        if content != PILARNET_M:
            raise UserError(f"{self.path}: not a PILArNet-M file; it seems to be {content}")
        for name in (POINTS, CLUSTERS):
            table = stored_table(file[name], f"{self.path}: table '{name}'")
            if table.ndim != 1 or h5py.check_vlen_dtype(table.dtype) is None:
                raise UserError(f"{self.path}: table '{name}' does not hold a row of variable length for each event")
        lengths = [len(file[name]) for name in (POINTS, CLUSTERS)]
        if lengths[0] != lengths[1]:
            raise UserError(f"{self.path}: '{POINTS}' has {lengths[0]} events and '{CLUSTERS}' {lengths[1]}")
        self._num_events = lengths[0]
        self._width = self._find_width()

    def _find_width(self) -> int:
        """Return the number of columns of a cluster, judged by the first event that leaves no choice."""
        possible = set(CLUSTER_WIDTHS)
        for index in range(self._num_events):
            points, clusters = self._read(index, POINTS), self._read(index, CLUSTERS)
            count = len(points) // len(POINT_COLUMNS)
            tables = {width: rows_of(clusters, width) for width in possible}
            fitting = {width for width, table in tables.items() if table is not None and fits(table, count)}
            if not fitting:
                raise UserError(
                    f"{self.path}: event {index}: '{CLUSTERS}' holds {len(clusters)} numbers that are no clusters of "
                    f"{count} points in 5 or 6 columns"
                )
            possible = fitting
            if len(possible) == 1:
                break
        return max(possible)

    def _event(self, index: int, product: str) -> PointEvent:
        if not 0 <= index < len(self):
            raise IndexError(f"event {index} of {len(self)} in {self.path}")
        if self._last is None or self._last[0] != index:
            points = rows_of(self._read(index, POINTS), len(POINT_COLUMNS))
            clusters = rows_of(self._read(index, CLUSTERS), self._width)
            if points is None or clusters is None or not fits(clusters, len(points)):
                raise UserError(f"{self.path}: event {index}: '{CLUSTERS}' does not describe '{POINTS}'; damaged file")
            self._last = index, PointEvent(points, clusters, self._meta)
        event = self._last[1]
        event.fail = lambda text: UserError(f"{self.path}: event {index}: {product}: {text}")
        return event

    def _read(self, index: int, name: str) -> np.ndarray:
        file = self._opened()
        try:
            if name not in self._rows:
                self._rows[name] = VariableRows(file[name], file.handle)
            return self._rows[name][index]
        except (OSError, RuntimeError, ValueError) as error:
            text = str(error).splitlines()[0]
            raise UserError(f"{self.path}: event {index}: '{name}' cannot be read ({text}); damaged file") from None

    def _check_product(self, product: str) -> None:
        if product not in PRODUCTS:
            raise UserError(f"{self.path}: no product '{product}'; the file holds {', '.join(PRODUCTS)}")
