"""Tables of an output file as CSV: a row for each event, and a row for each fragment."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.atomic import atomic_path
from mlreco.errors import UserError
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.post_processing.particles import ParticleTable, build_particles
from mlreco.progress import Progress

EVENTS, FRAGMENTS = "events.csv", "fragments.csv"
_NEEDED = ("coordinates", "energies", "semantics", "fragments", "event_id")
_OPTIONAL = ("margins", "seediness", "source", "image_origin", "voxel_size", "instances_true", "times")
_AXES = ("x", "y", "z")

Row = dict[str, Any]
"""Column to value."""

Columns = dict[str, list[Any]]
"""Column to its values."""


def export_tables(path: str | Path, folder: str | Path) -> dict[str, int]:
    """Write ``events.csv`` and ``fragments.csv``.

    Args:
        path: an output file.
        folder: an existing folder; files of these names in it are replaced.

    Returns:
        Name of each file to its number of rows, without that of the names.

    Raises:
        UserError: the file is damaged, no output file or has no fragments; a file cannot be written.
    """
    with HDF5Reader(path) as reader, ExitStack() as stack:
        missing = [name for name in _NEEDED if name not in reader.products]
        if missing:
            raise UserError(f"{path}: no product '{missing[0]}'; the tables need {', '.join(_NEEDED)}")
        if not len(reader):
            raise UserError(f"{path}: holds no events")
        tables = {name: _Table(stack, Path(folder) / name) for name in (EVENTS, FRAGMENTS)}
        progress = stack.enter_context(Progress("export", total=len(reader)))
        for event, fragments in _rows(reader):
            tables[EVENTS].write(event)
            tables[FRAGMENTS].write(fragments)
            progress.advance()
        for table in tables.values():
            table.close()
        return {name: table.rows for name, table in tables.items()}


def _rows(reader: HDF5Reader) -> Iterator[tuple[Columns, Columns]]:
    """Yield the row of each event and those of its fragments, column by column."""
    classes = [str(name) for name in reader.info.get("classes", ())]
    sources = json.loads(reader.info.get("source_files", "[]"))
    products = [name for name in (*_NEEDED, *_OPTIONAL) if name in reader.products]
    for index in range(len(reader)):
        event = reader.event(index, products)
        table = build_particles(*(event[name] for name in _NEEDED[:4]), event.get("margins"), event.get("seediness"))
        identity = {"entry": index, **dict(zip(("run", "subrun", "event"), event["event_id"][0].tolist(), strict=True))}
        row = identity | _source(event, sources) | _event_numbers(event, table, classes)
        if "times" in event and "times" in reader.columns:
            seconds = _short(event["times"][0])
            row |= {f"seconds_{name}": time for name, time in zip(reader.columns["times"], seconds, strict=True)}
        fragments = _fragment_columns(event, table, classes)
        repeated = {name: [value] * len(table) for name, value in identity.items()}
        yield {name: [value] for name, value in row.items()}, repeated | fragments


def _source(event: dict[str, np.ndarray], sources: Sequence[str]) -> Row:
    if "source" not in event:
        return {}
    file, entry = event["source"][0].tolist()
    return {"source_file": sources[file] if 0 <= file < len(sources) else file, "source_entry": entry}


def _event_numbers(event: dict[str, np.ndarray], table: ParticleTable, classes: Sequence[str]) -> Row:
    row: Row = {
        "voxels": len(event["energies"]),
        "energy": _short(event["energies"].sum(dtype=np.float64, keepdims=True))[0],
        "fragments": len(table),
        "voxels_without_fragment": int((event["fragments"] < 0).sum()),
    }
    if "instances_true" in event:
        row["instances_true"] = len(np.unique(event["instances_true"][event["instances_true"] >= 0]))
    for number, name in enumerate(classes):
        row[f"voxels_{name}"] = int((event["semantics"] == number).sum())
        row[f"fragments_{name}"] = int((table.semantic == number).sum())
    return row


def _fragment_columns(event: dict[str, np.ndarray], table: ParticleTable, classes: Sequence[str]) -> Columns:
    """Return the columns of the fragments of an event."""
    names = np.array([*classes, ""])
    known = (table.semantic >= 0) & (table.semantic < len(classes))
    columns: Columns = {
        "fragment": table.fragment.tolist(),
        "semantic": table.semantic.tolist(),
        "class": names[np.where(known, table.semantic, len(classes))].tolist(),
        "voxels": table.voxels.tolist(),
        "energy": _short(table.energy),
        **_vector("centroid", _AXES, table.centroid),
    }
    if "image_origin" in event and "voxel_size" in event:
        centres = event["image_origin"][0] + (table.centroid + 0.5) * event["voxel_size"][0]
        columns |= _vector("centroid", tuple(f"{axis}_cm" for axis in _AXES), centres)
    columns |= _vector("axis", _AXES, table.axis) | _vector("spread", ("1", "2", "3"), table.spread)
    columns |= {name: _short(getattr(table, name)) for name in ("length", "margin", "seediness")}
    return columns


def _vector(name: str, parts: Sequence[str], values: np.ndarray) -> Columns:
    return {f"{name}_{part}": _short(column) for part, column in zip(parts, values.T, strict=True)}


def _short(values: np.ndarray) -> list[str]:
    """Return numbers as they are written: 7 digits, nothing for NaN."""
    return ["" if value != value else f"{value:.7g}" for value in np.asarray(values, np.float64).tolist()]


class _Table:
    """A CSV file that appears under its name when the stack ends without an error.

    Args:
        stack: what the file belongs to.
        path: its name.

    Attributes:
        rows: number of rows written.
    """

    def __init__(self, stack: ExitStack, path: Path) -> None:
        temporary = stack.enter_context(atomic_path(path))
        self._file = stack.enter_context(temporary.open("w", newline="", encoding="utf-8"))
        self._writer = csv.writer(self._file)
        self._has_header = False
        self.rows = 0

    def write(self, columns: Columns) -> None:
        if not self._has_header:
            self._writer.writerow(columns)
            self._has_header = True
        rows = list(zip(*columns.values(), strict=True))
        self._writer.writerows(rows)
        self.rows += len(rows)

    def close(self) -> None:
        self._file.close()
