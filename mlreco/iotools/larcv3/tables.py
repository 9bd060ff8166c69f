"""Row ranges of one product of a LArCV3 file: from an event to its rows in the product's tables."""

from __future__ import annotations

from typing import Protocol

import h5py
import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.geometry import image_geometry
from mlreco.iotools.interface import NO_IMAGE
from mlreco.iotools.larcv3.columns import sound_table
from mlreco.iotools.larcv3.extension import CHILDREN, EXTENSION
from mlreco.iotools.larcv3.layout import KINDS, group_name, split_product
from mlreco.iotools.larcv3.table_rows import table_rows
from mlreco.iotools.voxel_rows import Fail
from mlreco.voxels import ImageMeta

_CACHED_ROWS = 1 << 20
"""Rows of a table of row ranges up to which it is held in memory; those of a longer one are read as they are needed."""


class Rows(Protocol):
    """Rows of a table, in memory or in the file: by slice only."""

    def __len__(self) -> int:
        """Number of rows."""

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Consecutive rows, of which there may be none."""


class ProductTables:
    """Tables of one product; the small ones are held in memory.

    Args:
        file: the open file.
        path: its name, for messages.
        product: for example ``sparse3d_pcluster``.
        num_events: number of events of the file.

    Raises:
        UserError: a table of the product is missing or has the wrong columns or too few events.
    """

    def __init__(self, file: h5py.File, path: str, product: str, num_events: int) -> None:
        group = file[group_name(product)]
        kind, _ = split_product(product)
        missing = [name for name in KINDS[kind] if name not in group]
        if missing:
            raise UserError(f"{path}: {product}: table '{missing[0]}' is missing; the file is incomplete")
        self.tables: dict[str, Rows] = {}
        for name in KINDS[kind]:
            table = sound_table(group[name], name, f"{path}: {product}")
            small = name.endswith(("extents", "meta")) and len(table) <= _CACHED_ROWS
            self.tables[name] = table[()] if small else table_rows(table)
        for name in (EXTENSION, CHILDREN):
            if kind == "particle" and name in group:
                self.tables[name] = table_rows(sound_table(group[name], name, f"{path}: {product}"))
        if EXTENSION in self.tables and len(self.tables[EXTENSION]) != len(self.tables["particles"]):
            rows, particles = len(self.tables[EXTENSION]), len(self.tables["particles"])
            raise UserError(f"{path}: {product}: table '{EXTENSION}' has {rows} rows for {particles} particles")
        if len(self.tables["extents"]) < num_events:
            found = len(self.tables["extents"])
            raise UserError(f"{path}: {product}: holds {found} of the file's {num_events} events")

    def counts(self, num_events: int, where: str) -> np.ndarray:
        """Return the number of voxels of an image, of sets or of particles in each event, (n,) int64.

        Args:
            num_events: number of events of the file.
            where: file and product, for the message.

        Raises:
            UserError: an event points outside the next table.
        """
        extents = self.tables["extents"][slice(0, num_events)]
        name = next((name for name in ("voxel_extents", "projection_extents") if name in self.tables), None)
        if name is None:
            return extents["N"].astype(np.int64)
        below, first = self.tables[name], extents["first"].astype(np.int64)
        end = first + extents["N"].astype(np.int64)
        if (first < 0).any() or (end > len(below))[extents["N"] > 0].any():
            raise UserError(f"{where}: points to projections that are not there; the file is incomplete or damaged")
        totals = np.concatenate(([0], np.cumsum(below[slice(0, len(below))]["N"], dtype=np.int64)))
        return np.where(extents["N"] > 0, totals[end.clip(0, len(below))] - totals[first.clip(0, len(below))], 0)

    def event_rows(self, index: int, name: str, fail: Fail) -> slice:
        """Return the rows of an event in the table that its extents point to."""
        return self._span(self._row("extents", index), name, fail)

    def projection_row(self, index: int, name: str, fail: Fail) -> int | None:
        """Return the row of an event's only projection, or None where the event has none."""
        rows = self.event_rows(index, name, fail)
        if rows.stop - rows.start > 1:
            raise fail(f"has {rows.stop - rows.start} projections where a 3D product has one")
        return rows.start if rows.stop > rows.start else None

    def rows_below(self, parent: str, row: int, name: str, fail: Fail) -> slice:
        """Return the rows of table ``name`` that a row of table ``parent`` points to."""
        return self._span(self._row(parent, row), name, fail)

    def read(self, name: str, rows: slice, fail: Fail) -> np.ndarray:
        """Read consecutive rows of a table."""
        try:
            return self.tables[name][rows]
        except (OSError, RuntimeError) as error:
            raise fail(f"table '{name}' cannot be read ({str(error).splitlines()[0]}); the file is damaged") from None

    def meta(self, row: int | None, fail: Fail) -> ImageMeta:
        """Return the geometry of a projection; an event without one gets that of the product's first."""
        table = self.tables["image_meta"]
        if row is None:
            row = 0
            if not len(table):
                return NO_IMAGE
        if row >= len(table):
            raise fail("has no image meta; the file is incomplete")
        record = self._row("image_meta", row)
        shape = record["number_of_voxels"].tolist()
        if 0 in shape:
            raise fail(f"has an image of {' x '.join(map(str, shape))} voxels")
        sizes = (record["image_sizes"] / record["number_of_voxels"]).tolist()
        return image_geometry(shape, record["origin"].tolist(), sizes, fail)

    def _row(self, name: str, row: int) -> np.void:
        return self.tables[name][row : row + 1][0]

    def _span(self, extent: np.void, name: str, fail: Fail) -> slice:
        first, count = int(extent["first"]), int(extent["N"])
        if count and not 0 <= first <= first + count <= len(self.tables[name]):
            raise fail(
                f"points to rows {first} to {first + count} of table '{name}' that has {len(self.tables[name])}; "
                "the file is incomplete or damaged"
            )
        return slice(first, first + count) if count else slice(0, 0)
