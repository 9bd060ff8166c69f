"""Events of many files as one sequence of parsed events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.augmentation import Augmenter
from mlreco.iotools.files import expand_sources
from mlreco.iotools.interface import Reader, read_product
from mlreco.iotools.readers import open_reader
from mlreco.iotools.schema import SchemaEntry, read_schema

_OPEN_FILES = 32

Event = dict[str, Any]
"""Blobs of an event by schema key, and ``index``, ``event_id`` (3,) int64, ``source`` (2,) int64."""


class LArCVDataset:
    """Events of a list of files, parsed as the schema says.

    Args:
        data_keys: files, glob patterns, folders or ``.txt`` lists of them.
        schema: key to parser, in either generation of lartpc_mlreco3d.
        limit_num_files: use at most this many files; None or 0 for all.
        event_list: entries (over all files) to use, in this order; None for all.
        entry_range: first entry and the one after the last; applies before ``event_list``.
        optional: schema keys that are left out, with the reason in ``left_out``, when a file lacks their products.
        class_scheme: given to parsers that ask for it.
        reader: name of the reader; by the files' content if None.
        augmenter: changes events when ``fetch`` is given a random generator.

    Attributes:
        files: the files, in order.
        keys: schema keys that events have.
        left_out: optional schema keys that events lack, with the reason.

    Raises:
        UserError: a file cannot be read, a product is missing, the schema or a range is wrong, there are no events.
    """

    def __init__(
        self,
        data_keys: str | Path | Iterable[str | Path],
        schema: Mapping[str, Any],
        limit_num_files: int | None = None,
        event_list: Sequence[int] | None = None,
        entry_range: Sequence[int] | None = None,
        optional: Iterable[str] = (),
        class_scheme: str = "pilarnet",
        reader: str | None = None,
        augmenter: Augmenter | None = None,
    ) -> None:
        self.files = expand_sources(data_keys, limit_num_files)
        self.augmenter = augmenter
        self.left_out: dict[str, str] = {}
        self._open: OrderedDict[int, None] = OrderedDict()
        entries = read_schema(schema, {"class_scheme": class_scheme})
        self._readers: list[Reader] = []
        for file in self.files:
            opened = open_reader(file, reader)
            opened.close()
            self._readers.append(opened)
        self._entries = self._available(entries, set(optional))
        self.keys = tuple(entry.key for entry in self._entries)
        self._ends = np.cumsum([len(reader) for reader in self._readers])
        self._selected = self._select(event_list, entry_range)

    def __len__(self) -> int:
        return len(self._selected)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def __getitem__(self, index: int) -> Event:
        return self.fetch(index)

    def fetch(self, index: int, rng: np.random.Generator | None = None) -> Event:
        """Return a parsed event.

        Args:
            index: number of the event in this dataset.
            rng: source of randomness of the augmentation; none without it.

        Raises:
            UserError: damaged data or products that do not fit; names file, event and schema key.
        """
        file_number, entry = self.source(index)
        reader = self._reader(file_number)
        names = dict.fromkeys(name for schema in self._entries for name in schema.product_names())
        loaded = {name: read_product(reader, entry, name) for name in names}
        if self.augmenter is not None and rng is not None:
            loaded = self.augmenter.transform(loaded, rng)
        event: Event = {}
        for schema in self._entries:
            try:
                event[schema.key] = schema.parse(loaded)
            except UserError as error:
                raise UserError(f"{reader.path}: event {entry}: schema key '{schema.key}': {error}") from error
        if self.augmenter is not None and rng is not None:
            event = self.augmenter.jitter(event, rng)
        event["index"] = int(index)
        event["event_id"] = np.asarray(reader.event_id(entry), dtype=np.int64)
        event["source"] = np.array([file_number, entry], dtype=np.int64)
        return event

    def source(self, index: int) -> tuple[int, int]:
        """Return the number of the file and the entry in it for an event of this dataset."""
        number = int(self._selected[index])
        file_number = int(np.searchsorted(self._ends, number, side="right"))
        return file_number, number - int(self._ends[file_number]) + len(self._readers[file_number])

    def describe(self, index: int) -> str:
        """Return ``file: event n``, the beginning of a message about an event."""
        file_number, entry = self.source(index)
        return f"{self.files[file_number]}: event {entry}"

    def close(self) -> None:
        """Close all files."""
        for reader in self._readers:
            reader.close()
        self._open.clear()

    def _reader(self, number: int) -> Reader:
        """Return a reader and close the one unused for longest where too many are open."""
        self._open[number] = None
        self._open.move_to_end(number)
        if len(self._open) > _OPEN_FILES:
            oldest, _ = self._open.popitem(last=False)
            self._readers[oldest].close()
        return self._readers[number]

    def _available(self, entries: Sequence[SchemaEntry], optional: set[str]) -> list[SchemaEntry]:
        """Return the entries whose products all files have."""
        kept = []
        for entry in entries:
            lacking = next(
                (
                    f"{reader.path}: no product '{name}' (schema key '{entry.key}'); "
                    f"the file holds {', '.join(reader.products()) or 'no products'}"
                    for reader in self._readers
                    for name in entry.product_names()
                    if name not in reader.products()
                ),
                None,
            )
            if lacking is None:
                kept.append(entry)
            elif entry.key in optional:
                self.left_out[entry.key] = lacking
            else:
                raise UserError(lacking)
        return kept

    def _select(self, event_list: Sequence[int] | None, entry_range: Sequence[int] | None) -> np.ndarray:
        total = int(self._ends[-1])
        selected = np.arange(total)
        if entry_range is not None:
            if len(entry_range) != 2 or not 0 <= entry_range[0] < entry_range[1]:
                raise UserError("iotool.dataset.entry_range must be [first, end) with 0 <= first < end")
            selected = selected[entry_range[0] : entry_range[1]]
        if event_list is not None:
            wanted = np.asarray(event_list, dtype=np.int64)
            bad = wanted[(wanted < 0) | (wanted >= len(selected))]
            if len(bad):
                raise UserError(f"iotool.dataset.event_list: no event {bad[0]}; there are {len(selected)}")
            selected = selected[wanted]
        if not len(selected):
            raise UserError(f"{self.files[0]}: there are no events to read ({total} in {len(self.files)} files)")
        return selected
