"""Writer of the output file."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from mlreco.errors import UserError
from mlreco.inputs import storable
from mlreco.iotools.hdf5file import AtomicFile, atomic_hdf5
from mlreco.iotools.output.digest import DIGEST, digest
from mlreco.iotools.output.layout import FORMAT, FORMAT_VERSION, from_attribute, to_attribute
from mlreco.iotools.output.product_table import LinkedRows, ProductTable, link_table
from mlreco.iotools.output.products import check_product, check_values
from mlreco.iotools.output.references import DanglingError, References, check_rows
from mlreco.iotools.output.schema import check_info, class_count
from mlreco.iotools.output.skipped_table import write_skipped
from mlreco.iotools.skipped import Skipped
from mlreco.version import __version__

_BUFFERED_BYTES = 16 << 20
_NONE = np.zeros(2, np.int64)


class HDF5Writer:
    """Writes events one at a time; the file appears under its name when the ``with`` block ends without an error.

    Every event has the same products; the first event says which, with which types and row shapes. The attribute
    ``complete`` is set last.

    Args:
        path: name of the file to make; an older one is replaced.
        info: attributes of ``/info``, such as ``cfg``, ``class_scheme``, ``classes``, ``thresholds``, ``source_files``;
            dictionaries and lists of other things than text are stored as JSON, and so is the list of names
            ``post_processors``, which SPINE reads as YAML.
        columns: product to the names of its columns, stored as its attribute ``columns``.

    Raises:
        UserError: the disk is full, the folder is missing or may not be written.
    """

    def __init__(
        self, path: str | Path, info: Mapping[str, Any], columns: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.path = Path(path)
        self._info = dict(info)
        self._columns = {name: tuple(names) for name, names in (columns or {}).items()}
        self._stack = contextlib.ExitStack()
        self._output: AtomicFile | None = None
        self._tables: dict[str, ProductTable] = {}
        self._linked: tuple[str, ...] = ()
        self._classes: int | None = None
        self._references = References(())
        self._buffered = 0
        self._skipped: tuple[Skipped, ...] = ()
        self.num_events = 0

    def __enter__(self) -> HDF5Writer:
        with contextlib.ExitStack() as stack:
            self._output = stack.enter_context(atomic_hdf5(self.path, ("v110", "v110")))
            self._write_info()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is not None:
                raise error
            self._finish()

    def append(self, event: Mapping[str, np.ndarray]) -> None:
        """Add an event.

        Args:
            event: product to array; the first axis is the rows, of which there may be none.

        Raises:
            ValueError: other products, types or row shapes than in the first event.
            UserError: the disk is full, or a product holds numbers that make no sense, such as NaN.
        """
        arrays = {name: np.asarray(values) for name, values in event.items()}
        self.append_events(
            {name: (rows, np.array([0, len(rows)]) if rows.ndim else _NONE) for name, rows in arrays.items()}
        )

    def append_batch(self, events: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Add several events, checked and kept together: faster than one after the other.

        Raises:
            ValueError: as in `append`, for the first event that cannot be added; those before it are.
            UserError: likewise.
        """
        joined = _joined([{name: np.asarray(values) for name, values in event.items()} for event in events])
        if joined is not None and self._fit(joined):
            self._keep(joined)
        else:
            for event in events:
                self.append(event)

    def append_events(self, events: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Add consecutive events at once.

        Args:
            events: product to its rows and to the offsets of the events in them, as `HDF5Reader.range` returns them.

        Raises:
            ValueError: as in `append`, or products differ in the number of events.
            UserError: as in `append`.
        """
        self._check(events)
        self._keep(events)

    def _fit(self, events: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> bool:
        try:
            self._check(events)
        except (ValueError, UserError):
            return False
        return True

    def _check(self, events: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Refuse events that do not fit the tables, which the first ones make."""
        if not self._tables:
            self._create_tables({name: rows for name, (rows, _) in events.items()})
        if events.keys() != self._tables.keys():
            raise ValueError(f"event {self.num_events} has products {sorted(events)}, not {sorted(self._tables)}")
        number = {len(offsets) - 1 for _, offsets in events.values()}
        if len(number) > 1:
            raise ValueError(f"products have {sorted(number)} events")
        self._check_references(events)
        for name, (values, _) in events.items():
            try:
                self._tables[name].check(values)
            except ValueError as error:
                raise ValueError(f"event {self.num_events}, product '{name}': {error}") from None
            try:
                check_values(name, values)
            except ValueError as error:
                where = f"{self.path}: event {self.num_events}: product '{name}'"
                raise UserError(f"{where} {error}; the weights or the event are not sound") from None

    def _keep(self, events: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Buffer events that were checked, and write when there are many."""
        for name, (values, offsets) in events.items():
            self._tables[name].keep(values, offsets)
            self._buffered += values.nbytes
        self.num_events += max((len(offsets) - 1 for _, offsets in events.values()), default=1)
        if self._buffered > _BUFFERED_BYTES:
            self.flush()

    def link(
        self, products: Mapping[str, LinkedRows], own: Mapping[str, tuple[np.ndarray, np.ndarray]], events: int
    ) -> None:
        """Write all events of a file whose rows mostly stay in other files, as virtual tables.

        Args:
            products: product to where its rows are.
            own: products whose rows stand in this file, as in `append_events`.
            events: how many there are.
        """
        if own:
            self.append_events(own)
        self.num_events = events
        for name, linked in products.items():
            link_table(self._create_group(name), linked)
        self._linked = (*self._linked, *products)

    def tell(self, name: str, value: Any) -> None:
        """Set an attribute of ``/info`` that is known only after the events."""
        self._opened().file["info"].attrs[name] = to_attribute(value)

    def list_skipped(self, skipped: Sequence[Skipped]) -> None:
        """Set the events and files that were left out; the list is written at the end and replaces an earlier one."""
        self._skipped = tuple(Skipped(storable(one.file), one.entry, storable(one.reason)) for one in skipped)

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            UserError: the disk is full.
        """
        for table in self._tables.values():
            table.flush()
        self._buffered = 0
        self._opened().check()

    def _check_references(self, events: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Refuse events that no reader would take: rows or numbers of one product do not fit those of another."""
        try:
            check_rows({name: offsets for name, (_, offsets) in events.items()})
            self._references.check(events, lambda name: events[name][1])
        except DanglingError as error:
            where = f"event {self.num_events + error.event}: product '{error.product}'"
            raise UserError(f"{self.path}: {where} {error}; its producers do not fit together") from None
        except ValueError as error:
            raise UserError(
                f"{self.path}: event {self.num_events}: {error}; its producers do not fit together"
            ) from None

    def _opened(self) -> AtomicFile:
        if self._output is None:
            raise ValueError("HDF5Writer is used outside its with block")
        return self._output

    def _write_info(self) -> None:
        file = self._opened().file
        info = file.create_group("info")
        given = dict(self._info)
        if not isinstance(given.get("post_processors", ""), str):
            given["post_processors"] = json.dumps(list(given["post_processors"]))
        if not isinstance(given.get("source_files", ""), str):
            given["source_files"] = json.dumps([storable(str(file)) for file in given["source_files"]])
        standard = {
            "cfg": "",
            "version": f"{FORMAT_VERSION}",
            "mlreco_version": __version__,
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }
        for name, value in {**standard, **given, "complete": False}.items():
            info.attrs[name] = to_attribute(value)
        stored = {name: from_attribute(info.attrs[name]) for name in info.attrs}
        check_info(stored)
        self._classes = class_count(stored)
        file.create_group("products")

    def _create_tables(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._references = References(arrays, self._classes)
        for name, values in arrays.items():
            if values.ndim == 0:
                raise ValueError(f"product '{name}' must have rows")
            try:
                check_product(name, values.dtype, values.shape[1:], self._columns.get(name), self._classes)
            except ValueError as error:
                raise ValueError(f"product '{name}' {error}") from None
        for name, values in arrays.items():
            self._tables[name] = ProductTable(self._create_group(name), values.shape[1:], values.dtype)

    def _create_group(self, name: str) -> h5py.Group:
        """Create the group of a product."""
        group = self._opened().file["products"].create_group(name)
        group.attrs["kind"] = "array"
        group.attrs["scalar"] = False
        if name in self._columns:
            group.attrs["columns"] = list(self._columns[name])
        return group

    def _finish(self) -> None:
        """Write the rest, make it durable, and only then call the file complete."""
        self.flush()
        file = self._opened().file
        file.create_dataset("events", data=np.arange(self.num_events, dtype=np.int64))
        write_skipped(file, self._skipped, self.num_events)
        self._opened().check()
        info = file["info"].attrs
        info["complete"] = True
        info["products"] = products = sorted((*self._tables, *self._linked))
        columns = {name: names for name, names in self._columns.items() if name in products}
        info[DIGEST] = digest({name: from_attribute(info[name]) for name in info}, columns, self._skipped)


def _joined(events: Sequence[Mapping[str, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """Return events as `HDF5Writer.append_events` takes them; None where they are not all alike."""
    kinds = {tuple((name, rows.dtype, rows.shape[1:], rows.ndim) for name, rows in event.items()) for event in events}
    if len(kinds) != 1 or any(not ndim for *_, ndim in next(iter(kinds))):
        return None
    joined = {}
    for name in events[0]:
        rows = [event[name] for event in events]
        joined[name] = np.concatenate(rows), np.append(0, np.cumsum([len(values) for values in rows]))
    return joined
