"""Tables of an output file: a row for each event, for each fragment, and for what was skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.iotools.output.schema import source_files
from mlreco.iotools.output.table_files import TABLE_FILES, Columns
from mlreco.iotools.skipped import Skipped
from mlreco.post_processing.particles import ParticleTable, build_particles
from mlreco.post_processing.predicted import predicted_instances
from mlreco.progress import Progress

TABLES = EVENTS, FRAGMENTS, SKIPPED = "events", "fragments", "skipped"
_NEEDED = ("coordinates", "energies", "semantics", "fragments", "event_id")
_OPTIONAL = ("margins", "seediness", "source", "image_origin", "voxel_size", "instances_true", "times")
_AXES = ("x", "y", "z")

Row = dict[str, Any]
"""Column to value."""


def export_tables(path: str | Path, folder: str | Path, form: str = "csv") -> dict[str, int]:
    """Write the tables ``events``, ``fragments`` and ``skipped``.

    A row of ``fragments`` is one of ``instances`` where the file has any.

    Args:
        path: an output file.
        folder: an existing folder; files of these names in it are replaced.
        form: ``csv`` or ``parquet``.

    Returns:
        Name of each file to its number of rows, without that of the names.

    Raises:
        UserError: the file is damaged, no output file or has no fragments; a file cannot be written; the package for
            Parquet is not installed.
    """
    with HDF5Reader(path) as reader, ExitStack() as stack:
        missing = [name for name in _NEEDED if name not in reader.products]
        if missing:
            raise UserError(f"{path}: no product '{missing[0]}'; the tables need {', '.join(_NEEDED)}")
        if not len(reader):
            raise UserError(f"{path}: holds no events")
        files = {name: TABLE_FILES[form](stack, Path(folder) / f"{name}.{form}") for name in TABLES}
        progress = stack.enter_context(Progress("export", total=len(reader)))
        for event, fragments in _rows(reader):
            files[EVENTS].write(event)
            files[FRAGMENTS].write(fragments)
            progress.advance()
        files[SKIPPED].write(_skipped_columns(reader.skipped))
        for file in files.values():
            file.close()
        return {f"{name}.{form}": file.rows for name, file in files.items()}


def _rows(reader: HDF5Reader) -> Iterator[tuple[Columns, Columns]]:
    """Yield the row of each event and those of its fragments, column by column."""
    classes = [str(name) for name in reader.info.get("classes") or ()]
    sources = source_files(reader.info)
    instances = predicted_instances(reader.products)
    products = [name for name in (*_NEEDED, *_OPTIONAL, instances) if name in reader.products]
    for index in range(len(reader)):
        event = reader.event(index, products)
        event["fragments"] = event[instances]
        table = build_particles(*(event[name] for name in _NEEDED[:4]), event.get("margins"), event.get("seediness"))
        identity = {"entry": index, **dict(zip(("run", "subrun", "event"), event["event_id"][0].tolist(), strict=True))}
        row = identity | _source(event, sources) | _event_numbers(event, table, classes)
        if "times" in event and "times" in reader.columns:
            row |= {
                f"seconds_{name}": time for name, time in zip(reader.columns["times"], event["times"][0], strict=True)
            }
        repeated = {name: np.full(len(table), value) for name, value in identity.items()}
        yield (
            {name: np.array([value]) for name, value in row.items()},
            repeated | _fragment_columns(event, table, classes),
        )


def _source(event: dict[str, np.ndarray], sources: Sequence[str]) -> Row:
    if "source" not in event:
        return {}
    file, entry = event["source"][0].tolist()
    return {"source_file": sources[file] if 0 <= file < len(sources) else str(file), "source_entry": entry}


def _event_numbers(event: dict[str, np.ndarray], table: ParticleTable, classes: Sequence[str]) -> Row:
    row: Row = {
        "voxels": len(event["energies"]),
        "energy": event["energies"].sum(dtype=np.float64),
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
        "fragment": table.fragment,
        "semantic": table.semantic,
        "class": names[np.where(known, table.semantic, len(classes))],
        "voxels": table.voxels,
        "energy": table.energy,
        **_vector("centroid", _AXES, table.centroid),
    }
    if "image_origin" in event and "voxel_size" in event:
        centres = event["image_origin"][0] + (table.centroid + 0.5) * event["voxel_size"][0]
        columns |= _vector("centroid", tuple(f"{axis}_cm" for axis in _AXES), centres)
    columns |= _vector("axis", _AXES, table.axis) | _vector("spread", ("1", "2", "3"), table.spread)
    columns |= {name: getattr(table, name) for name in ("length", "margin", "seediness")}
    return columns


def _skipped_columns(skipped: Sequence[Skipped]) -> Columns:
    return {
        "source_file": np.array([one.file for one in skipped], dtype=object),
        "source_entry": np.array([one.entry for one in skipped], dtype=np.int64),
        "reason": np.array([one.reason for one in skipped], dtype=object),
    }


def _vector(name: str, parts: Sequence[str], values: np.ndarray) -> Columns:
    return {f"{name}_{part}": column for part, column in zip(parts, values.T, strict=True)}
