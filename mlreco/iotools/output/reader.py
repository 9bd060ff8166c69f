"""Reader of the output file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import h5py
import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.iotools.filekind import hdf5_content, open_hdf5, telling_damage
from mlreco.iotools.hdf5_tables import stored_table
from mlreco.iotools.output.digest import check_digest
from mlreco.iotools.output.layout import FORMAT, from_attribute
from mlreco.iotools.output.parts import PARTS, Parts, is_virtual, parts_of
from mlreco.iotools.output.products import check_product, check_values
from mlreco.iotools.output.references import DanglingError, References, check_rows
from mlreco.iotools.output.schema import check_info, check_lengths, check_offsets, check_products, class_count
from mlreco.iotools.output.skipped_table import read_skipped

_WANTED = "an output file of mlreco"
T = TypeVar("T")


class HDF5Reader:
    """Events of an output file as NumPy arrays.

    A file that ``mlreco merge`` wrote without copying names its parts, in its own folder or below; their rows are read
    from them, by readers of their own.

    Args:
        path: the file.
        allow_incomplete: accept a file whose writing did not end.

    Attributes:
        path: the file.
        info: attributes of the file (``cfg``, ``class_scheme``, ``classes``, ``thresholds`` as JSON text, ...).
        products: names of the products.
        columns: product to the names of its columns, where the file has them.
        skipped: events and files of the input that were left out, with the reason.

    Raises:
        UserError: the file is missing, truncated, incomplete, or of another kind, which the message names.
    """

    def __init__(self, path: str | Path, allow_incomplete: bool = False) -> None:
        self.path = Path(path)
        self._process = -1
        self._file: h5py.File | None = None
        self._parts: Parts | None = None
        with open_hdf5(path, _WANTED, merged=True) as file, telling_damage(path):
            self._check_kind(file)
            info = file["info"].attrs
            self.info: dict[str, Any] = {name: from_attribute(info[name]) for name in info}
            self._check(check_info, self.info)
            if not allow_incomplete and not self.info.get("complete", False):
                raise UserError(f"{path}: the output file is incomplete, its writing did not end; make it again")
            if PARTS in self.info:
                self._parts = Parts(self.path, self._check(parts_of, self.info[PARTS]), self._open_part)
            self._read_products(file["products"])
            self._num_events = self._count_events(file)
            self.skipped = read_skipped(file, self.path)
            if self.info.get("complete", False):
                self._check(check_digest, self.info, self.columns, self.skipped)
                self._check(check_products, self.products, self.info)

    def __len__(self) -> int:
        return self._num_events

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_process": -1}

    def __enter__(self) -> HDF5Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return all products of an event; negative numbers count from the end."""
        return self.event(index)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for index in range(len(self)):
            yield self[index]

    def event(self, index: int, products: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Return products of an event, all of them or those named.

        Raises:
            IndexError: no such event.
            UserError: no such product.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: no event {index}; there are {len(self)}")
        index %= len(self)
        return {name: values for name, (values, _) in self.range(index, index + 1, products).items()}

    def range(
        self, first: int, end: int, products: Iterable[str] | None = None
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return products of consecutive events, with one read each.

        Args:
            first: first event.
            end: the event after the last.
            products: names; all if None.

        Returns:
            Product to its values, (rows, ...), and offsets, (end - first + 1,) int64: event ``first + i`` has the rows
            ``offsets[i]`` to ``offsets[i + 1]``.

        Raises:
            IndexError: the range does not lie in the file.
            UserError: no such product, or damaged data, such as a number that stands for no row of another product.
        """
        if not 0 <= first <= end <= len(self):
            raise IndexError(f"{self.path}: no events {first} to {end}; there are {len(self)}")
        selected = {}
        for name in self.products if products is None else products:
            if name not in self._offsets:
                raise UserError(f"{self.path}: no product '{name}'{nearest(name, self.products)}")
            offsets = self._offsets[name][first : end + 1]
            try:
                values = self.rows(name, int(offsets[0]), int(offsets[-1]))
                check_values(name, values)
            except (OSError, RuntimeError, ValueError) as error:
                text = str(error).splitlines()[0]
                where = f"event {first}" if end - first < 2 else f"events {first} to {end - 1}"
                raise UserError(f"{self.path}: {where}: product '{name}' cannot be read: {text}") from None
            selected[name] = (values, offsets - offsets[0])
        try:
            self._references.check(selected, lambda name: self._offsets[name][first : end + 1])
        except DanglingError as error:
            where = f"event {first + error.event}: product '{error.product}'"
            raise UserError(f"{self.path}: {where}: damaged output file: {error}") from None
        return selected

    def row_counts(self, product: str) -> np.ndarray:
        """Return the number of rows of each event in a product, (n,) int64."""
        return np.diff(self._offsets[product][: len(self) + 1])

    def rows(self, product: str, begin: int, end: int) -> np.ndarray:
        """Return rows of a product as they are stored, whatever events they belong to."""
        if self._parts is not None and self._parts.holds(product):
            return self._parts.rows(product, begin, end)
        return self._opened()["products"][product]["values"][begin:end]

    def row_total(self, product: str) -> int:
        """Return the number of rows of all events in a product."""
        return int(self._offsets[product][-1])

    def row_dtype(self, product: str) -> tuple[np.dtype, tuple[int, ...]]:
        """Return type and shape of a row of a product."""
        if self._parts is not None and self._parts.holds(product):
            return self._parts.row_type(product)
        values = self._opened()["products"][product]["values"]
        return values.dtype, values.shape[1:]

    def row_type(self, product: str) -> str:
        """Return what a row of a product is, such as ``int32 (3,)``."""
        dtype, shape = self.row_dtype(product)
        return f"{dtype}{f' {shape}' if shape else ''}"

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None
        if self._parts is not None:
            self._parts.close()

    def _opened(self) -> h5py.File:
        if self._file is None or self._process != os.getpid():
            self._file = open_hdf5(self.path, _WANTED, bulk=True, merged=True)
            self._process = os.getpid()
        return self._file

    def _open_part(self, path: Path) -> HDF5Reader:
        reader = HDF5Reader(path)
        if reader._parts is not None:
            raise UserError(f"{self.path}: its part {path} is merged itself")
        return reader

    def _check(self, check: Callable[..., T], *arguments: Any, where: str = "") -> T:
        """Run a check and say which file is damaged."""
        try:
            return check(*arguments)
        except ValueError as error:
            raise UserError(f"{self.path}: damaged output file: {where}{error}") from None

    def _check_kind(self, file: h5py.File) -> None:
        if "info" not in file or file["info"].attrs.get("format") != FORMAT:
            raise UserError(f"{self.path}: not {_WANTED}; it seems to be {hdf5_content(file)}")
        if "products" not in file:
            raise UserError(f"{self.path}: an output file without products (of SPINE's version 1 perhaps)")

    def _read_products(self, groups: h5py.Group) -> None:
        """Read the offsets and the names of columns of all products that are arrays, and check their types."""
        self.columns: dict[str, tuple[str, ...]] = {}
        self._offsets: dict[str, np.ndarray] = {}
        classes = class_count(self.info)
        for name in sorted(groups):
            group = groups[name]
            if from_attribute(group.attrs.get("kind", "array")) != "array":
                continue  # of SPINE: objects and lists
            if "columns" in group.attrs:
                self.columns[name] = tuple(map(str, from_attribute(group.attrs["columns"])))
            offsets = self._stored(group, name, "event_offsets")
            where = f"product '{name}' "
            parts = self._parts if self._parts is not None and is_virtual(group["values"]) else None
            if parts is not None:
                self._check(check_offsets, offsets, None, True, where=where)
                self._check(parts.set_offsets, name, offsets[()].astype(np.int64), where=where)
                dtype, row_shape = parts.row_type(name)
            else:
                values = self._stored(group, name, "values")
                dtype, row_shape = values.dtype, values.shape[1:]
                self._check(check_offsets, offsets, len(values), self.info.get("complete", False), where=where)
            self._check(check_product, name, dtype, row_shape, self.columns.get(name), classes, where=where)
            self._offsets[name] = offsets[()].astype(np.int64)
        self.products = tuple(self._offsets)
        self._references = References(self.products, classes)

    def _stored(self, group: h5py.Group, product: str, table: str) -> h5py.Dataset:
        found = stored_table(group[table], f"{self.path}: product '{product}': table '{table}'")
        if not found.ndim:
            raise UserError(f"{self.path}: product '{product}': table '{table}' has no rows; damaged output file")
        return found

    def _count_events(self, file: h5py.File) -> int:
        """Return the number of events, and check that all products have that many, and rows for the same voxels."""
        lengths = {name: len(offsets) - 1 for name, offsets in self._offsets.items()}
        if not self.info.get("complete", False):
            return min(lengths.values(), default=0)
        count = len(stored_table(file["events"], f"{self.path}: table 'events'")) if "events" in file else None
        self._check(check_lengths, lengths, count)
        self._check(check_rows, self._offsets)
        return min(lengths.values(), default=0)
