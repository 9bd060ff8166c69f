"""Row ranges of one product of a LArCV3 file: from an event to its rows in the product's tables."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.interface import NO_IMAGE
from mlreco.iotools.larcv3.extension import CHILDREN, EXTENSION
from mlreco.iotools.larcv3.layout import KINDS, TYPES, group_name, split_product
from mlreco.iotools.larcv3.table_rows import TableRows, table_rows
from mlreco.iotools.voxel_rows import Fail
from mlreco.voxels import ImageMeta

_CACHED_ROWS = 1 << 20


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
        self.tables: dict[str, TableRows | np.ndarray] = {}
        for name in KINDS[kind]:
            table = sound_table(group[name], name, f"{path}: {product}")
            needed = _columns(name)
            if table.dtype.names is None or not needed <= set(table.dtype.names):
                raise UserError(f"{path}: {product}: table '{name}' lacks the columns {', '.join(sorted(needed))}")
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
        return self._span(self.tables["extents"][index], name, fail)

    def projection_row(self, index: int, name: str, fail: Fail) -> int | None:
        """Return the row of an event's only projection, or None where the event has none."""
        rows = self.event_rows(index, name, fail)
        if rows.stop - rows.start > 1:
            raise fail(f"has {rows.stop - rows.start} projections where a 3D product has one")
        return rows.start if rows.stop > rows.start else None

    def rows_below(self, parent: str, row: int, name: str, fail: Fail) -> slice:
        """Return the rows of table ``name`` that a row of table ``parent`` points to."""
        return self._span(self.tables[parent][row], name, fail)

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
        record = table[row]
        shape = np.asarray(record["number_of_voxels"], dtype=np.int64)
        sizes = np.asarray(record["image_sizes"], dtype=np.float64)
        if not (shape > 0).all() or shape.prod(dtype=np.float64) > 2.0**62:
            raise fail(f"has an image of {' x '.join(map(str, shape.tolist()))} voxels")
        x, y, z = shape.tolist()
        return ImageMeta((x, y, z), tuple(record["origin"].tolist()), tuple((sizes / shape).tolist()))

    def _span(self, extent: np.void, name: str, fail: Fail) -> slice:
        first, count = int(extent["first"]), int(extent["N"])
        if count and first + count > len(self.tables[name]):
            raise fail(
                f"points to rows {first} to {first + count} of table '{name}' that has {len(self.tables[name])}; "
                "the file is incomplete or damaged"
            )
        return slice(first, first + count) if count else slice(0, 0)


def sound_table(table: Any, name: str, where: str) -> h5py.Dataset:
    """Return a table whose types are those of the format.

    Damaged types can be read, into other numbers; some take more memory than NumPy makes ready for them. Where the
    list of filters is damaged, compressed bytes are taken for rows.

    Args:
        table: what stands in the file under its name.
        name: which table of the format it is.
        where: file and product, for the message.

    Raises:
        UserError: it is no table, a known column has another type, or the types have no counterpart in NumPy.
    """
    if not isinstance(table, h5py.Dataset) or table.ndim != 1:
        raise UserError(f"{where}: '{name}' is no table; the file is damaged")
    plain = table.chunks and not table.id.get_create_plist().get_nfilters() and table.id.get_num_chunks()
    if plain and table.id.get_chunk_info(0).size != table.chunks[0] * table.dtype.itemsize:
        raise UserError(f"{where}: table '{name}' is not stored as it says; the file is damaged")
    found = table.id.get_type()
    if h5py.h5t.py_create(table.dtype).get_size() != table.dtype.itemsize:
        raise UserError(f"{where}: table '{name}' has a type that cannot be; the file is damaged")
    known = TYPES[name].fields if name in TYPES else None
    for number in range(found.get_nmembers() if known else 0):
        column = found.get_member_name(number).decode("utf-8", "replace")
        if column in known and not _same(found.get_member_type(number), known[column][0]):
            raise UserError(f"{where}: column '{column}' of table '{name}' is no {known[column][0]}; damaged file")
    return table


def _same(found: h5py.h5t.TypeID, wanted: np.dtype) -> bool:
    if wanted.kind == "S":
        return found.get_class() == h5py.h5t.STRING and found.get_size() == wanted.itemsize
    return bool(found.equal(h5py.h5t.py_create(wanted)))


def _columns(table: str) -> set[str]:
    if table.endswith("extents"):
        return {"first", "N"}
    if table == "image_meta":
        return {"image_sizes", "number_of_voxels", "origin"}
    return {"id", "value"} if table == "voxels" else {"pdg"}
