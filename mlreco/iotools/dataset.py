"""Events of many files as one sequence of parsed events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.augmentation import Augmenter
from mlreco.iotools.event_parser import Event, EventParser
from mlreco.iotools.eventfiles import EventFiles, check_schemes
from mlreco.iotools.files import expand_sources
from mlreco.iotools.interface import holds_classes, read_product
from mlreco.iotools.schema import SchemaEntry, read_schema
from mlreco.iotools.skipped import Skipped


class LArCVDataset:
    """Events of a list of files, parsed as the schema says.

    Args:
        data_keys: files, glob patterns, folders or ``.txt`` lists of them.
        schema: key to parser, in either generation of lartpc_mlreco3d.
        limit_num_files: use at most this many files; None or 0 for all.
        event_list: entries (over all files) to use, in this order; None for all.
        skip_event_list: entries (over all files) to leave out.
        entry_range: first entry and the one after the last; applies before ``event_list``.
        optional: schema keys that are left out, with the reason in ``left_out``, when a file lacks their products.
        class_scheme: given to parsers that ask for it. Of files with another scheme only those labels are used that a
            parser translates; others are left out if optional.
        reader: name of the reader; by the files' content if None.
        augmenter: changes events when ``fetch`` is given a random generator.
        energies: schema key whose features must not be negative.
        skip: leave out files that cannot be opened, rather than raise.

    Attributes:
        endless: whether the events are generated without end.
        files: the files, in order.
        keys: schema keys that events have.
        left_out: optional schema keys that events lack, with the reason.
        remarks: remarks on the files for the user, a line each.

    Raises:
        UserError: a file cannot be read, a product is missing, the schema or a range is wrong, there are no events, or
            files differ in the size of voxels or in the class scheme.
    """

    endless = False

    def __init__(
        self,
        data_keys: str | Path | Iterable[str | Path],
        schema: Mapping[str, Any],
        limit_num_files: int | None = None,
        event_list: Sequence[int] | None = None,
        entry_range: Sequence[int] | None = None,
        optional: Iterable[str] = (),
        skip_event_list: Sequence[int] | None = None,
        class_scheme: str = "pilarnet",
        reader: str | None = None,
        augmenter: Augmenter | None = None,
        energies: str | None = None,
        skip: bool = False,
    ) -> None:
        entries = read_schema(schema, {"class_scheme": class_scheme})
        self._files = EventFiles(expand_sources(data_keys, limit_num_files), reader, skip)
        self.files = self._files.files
        self.left_out: dict[str, str] = {}
        self._translated: list[str] = []
        self._entries = self._available(entries, set(optional), class_scheme)
        self._parser = EventParser(self._entries, energies, augmenter)
        self.keys = tuple(entry.key for entry in self._entries)
        self.remarks = (*self._check_geometries(), *self._translated)
        self._selected = self._select(event_list, entry_range, skip_event_list)

    def __len__(self) -> int:
        return len(self._selected)

    @property
    def skipped_files(self) -> tuple[Skipped, ...]:
        """Files that cannot be opened."""
        return tuple(self._files.skipped)

    def __getitem__(self, index: int) -> Event:
        return self.fetch(index)

    def fetch(self, index: int, rng: np.random.Generator | None = None, iteration: int = 0) -> Event:
        """Return a parsed event.

        Args:
            index: number of the event in this dataset.
            rng: source of randomness of the augmentation; none without it.
            iteration: of the training, for an augmentation that changes with it.

        Raises:
            UserError: damaged data or products that do not fit; names file, event and schema key.
        """
        file_number, entry = self.source(index)
        reader = self._files.reader(file_number)
        loaded = {name: read_product(reader, entry, name) for name in self._parser.products()}
        event = self._parser.parse(loaded, f"{reader.path}: event {entry}", rng, iteration)
        event["index"] = int(index)
        event["event_id"] = np.asarray(reader.event_id(entry), dtype=np.int64)
        event["source"] = np.array([file_number, entry], dtype=np.int64)
        return event

    def source(self, index: int) -> tuple[int, int]:
        """Return the number of the file and the entry in it for an event of this dataset."""
        return self._files.locate(int(self._selected[index]))

    def file_numbers(self) -> np.ndarray:
        """Return the number of the file of each event, (n,) int64."""
        return self._files.numbers(self._selected)

    def voxel_counts(self, key: str | None) -> np.ndarray:
        """Return the number of voxels of each event, (n,) int64, from the files' tables.

        Args:
            key: schema key of the image.

        Raises:
            UserError: a file's tables do not have it.
        """
        entry = next((entry for entry in self._entries if entry.key == key), None)
        names = entry.product_names() if entry is not None else []
        if not names:
            raise UserError(f"iotool.dataset.schema: '{key}' is no image, so that events have no size")
        return self._files.voxel_counts(names[0])[self._selected]

    def describe(self, index: int) -> str:
        """Return ``file: event n``, the beginning of a message about an event."""
        file_number, entry = self.source(index)
        return f"{self.files[file_number]}: event {entry}"

    def close(self) -> None:
        """Close all files."""
        self._files.close()

    def _available(self, entries: Sequence[SchemaEntry], optional: set[str], scheme: str) -> list[SchemaEntry]:
        """Return the entries whose products all files have."""
        kept = []
        for entry in entries:
            lacking, other = self._lacking(entry), None
            if lacking is None:
                other = self._other_scheme(entry, scheme)
            if other is not None and entry.key in optional and entry.translates:
                self._translated.append(f"'{entry.key}' is translated from the classes of '{other[0]}'")
                entry, other = entry.translating(other[0]), None
            reason = lacking if other is None else other[1]
            if reason is None:
                kept.append(entry)
            elif entry.key in optional:
                self.left_out[entry.key] = reason
            else:
                raise UserError(reason)
        return kept

    def _lacking(self, entry: SchemaEntry) -> str | None:
        """Return which file lacks a product of an entry."""
        for reader in self._files.readers():
            for name in entry.product_names():
                if name not in reader.products():
                    unusable: dict[str, str] = getattr(reader, "unusable", {})
                    if name in unusable:
                        return f"{reader.path}: '{name}' (schema key '{entry.key}') {unusable[name]}"
                    return (
                        f"{reader.path}: no product '{name}' (schema key '{entry.key}'); "
                        f"the file holds {', '.join(reader.products()) or 'no products'}"
                    )
        return None

    def _other_scheme(self, entry: SchemaEntry, scheme: str) -> tuple[str, str] | None:
        """Return a class scheme that is stored in a file and is not the configuration's, and the name of that file."""
        for name in filter(holds_classes, entry.product_names()):
            told = check_schemes(list(self._files.readers()), name)
            if told is not None and told[1] not in (scheme, entry.options.get("image_scheme")):
                return told[1], (
                    f"{told[0]}: the classes of '{name}' (schema key '{entry.key}') are numbered as in '{told[1]}', "
                    f"and model.class_scheme is '{scheme}'"
                )
        return None

    def _check_geometries(self) -> tuple[str, ...]:
        """Refuse files with voxels of different size; return a remark on images of different size."""
        names = (name for entry in self._entries for name in entry.product_names())
        product = next((name for name in names if name.startswith(("sparse3d_", "cluster3d_"))), None)
        if product is None or len(self.files) == 1:
            return ()
        shapes = self._files.geometries(product)
        if len(shapes) < 2:
            return ()
        text = ", ".join(f"{' x '.join(map(str, shape))} in {path}" for shape, path in list(shapes.items())[:3])
        return (f"images of different sizes: {text}; coordinates are normalised by the image of each event",)

    def _select(
        self,
        event_list: Sequence[int] | None,
        entry_range: Sequence[int] | None,
        skip_event_list: Sequence[int] | None,
    ) -> np.ndarray:
        total = len(self._files)
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
        if skip_event_list is not None:
            unwanted = np.asarray(skip_event_list, dtype=np.int64)
            bad = unwanted[(unwanted < 0) | (unwanted >= total)]
            if len(bad):
                raise UserError(f"iotool.dataset.skip_event_list: no event {bad[0]}; there are {total}")
            selected = selected[~np.isin(selected, unwanted)]
        if not len(selected):
            raise UserError(f"{self.files[0]}: there are no events to read ({total} in {len(self.files)} files)")
        return selected
