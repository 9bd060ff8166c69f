"""Tables of an output file: events, particles, interactions, true particles, and what was skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.analysis.events import events_with_particles, scheme_of
from mlreco.errors import UserError
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.iotools.output.schema import source_files
from mlreco.iotools.output.table_files import TABLE_FILES, Columns
from mlreco.iotools.skipped import Skipped
from mlreco.particles.matching import MATCH
from mlreco.particles.measures import empty_table
from mlreco.particles.truth import TRUE_PARTICLE
from mlreco.post_processing.predicted import predicted_instances
from mlreco.progress import Progress
from mlreco.semantics import ClassScheme

EVENTS, PARTICLES, INTERACTIONS, TRUE, SKIPPED = "events", "particles", "interactions", "particles_true", "skipped"
_NEEDED = ("coordinates", "energies", "semantics", "event_id")
_MORE = (*_NEEDED, "fragments", "instances", "source", "instances_true", "times")

Row = dict[str, Any]
"""Column to value."""


def export_tables(path: str | Path, folder: str | Path, form: str = "csv") -> dict[str, int]:
    """Write the tables ``events``, ``particles``, ``interactions`` and ``skipped``, with truth ``particles_true``.

    Columns are those of :mod:`mlreco.particles.columns` and, of true particles and with ``true_`` before their names
    beside the reconstructed ones, :mod:`mlreco.particles.truth`; lengths in cm, energies in MeV.

    Args:
        path: an output file.
        folder: an existing folder; files of these names in it are replaced.
        form: ``csv`` or ``parquet``.

    Returns:
        Name of each file to its number of rows, without that of the names.

    Raises:
        UserError: the file is damaged, no output file or has no particles; a file cannot be written; the package for
            Parquet is not installed.
    """
    with HDF5Reader(path) as reader, ExitStack() as stack:
        missing = [name for name in _NEEDED if name not in reader.products]
        if missing:
            raise UserError(f"{path}: no product '{missing[0]}'; the tables need {', '.join(_NEEDED)} and instances")
        if not len(reader):
            raise UserError(f"{path}: holds no events")
        names = [EVENTS, PARTICLES, INTERACTIONS, *([TRUE] if "instances_true" in reader.products else []), SKIPPED]
        files: dict[str, Any] = {name: TABLE_FILES[form](stack, Path(folder) / f"{name}.{form}") for name in names}
        progress = stack.enter_context(Progress("export", total=len(reader)))
        for tables in _tables(reader):
            for name, columns in tables.items():
                files[name].write(columns)
            progress.advance()
        files[SKIPPED].write(_skipped_columns(reader.skipped))
        for file in files.values():
            file.close()
        return {f"{name}.{form}": file.rows for name, file in files.items()}


def _tables(reader: HDF5Reader) -> Iterator[dict[str, Columns]]:
    """Yield the columns of the tables of each event."""
    scheme, sources = scheme_of(reader), source_files(reader.info)
    for index, event in enumerate(events_with_particles(reader, _MORE)):
        identity = {"entry": index, **dict(zip(("run", "subrun", "event"), event["event_id"][0].tolist(), strict=True))}
        row = identity | _source(event, sources) | _event_numbers(event, scheme)
        if "times" in event and "times" in reader.columns:
            times = zip(reader.columns["times"], event["times"][0], strict=True)
            row |= {f"seconds_{name}": time for name, time in times}
        tables = {EVENTS: {name: np.array([value]) for name, value in row.items()}}
        for name, columns in (
            (PARTICLES, _particles(event, scheme)),
            (INTERACTIONS, _columns(event["interactions"])),
            (TRUE, _true_particles(event, scheme)),
        ):
            if columns is not None:
                count = len(next(iter(columns.values())))
                tables[name] = {key: np.full(count, value) for key, value in identity.items()} | columns
        yield tables


def _source(event: dict[str, np.ndarray], sources: Sequence[str]) -> Row:
    if "source" not in event:
        return {}
    file, entry = event["source"][0].tolist()
    return {"source_file": sources[file] if 0 <= file < len(sources) else str(file), "source_entry": entry}


def _event_numbers(event: dict[str, np.ndarray], scheme: ClassScheme) -> Row:
    instances = event[predicted_instances(event)]
    row: Row = {
        "voxels": len(event["energies"]),
        "energy": event["energies"].sum(dtype=np.float64),
        "particles": len(event["particles"]),
        "interactions": len(event["interactions"]),
        "voxels_without_particle": int((instances < 0).sum()),
    }
    if "instances_true" in event:
        row["instances_true"] = len(np.unique(event["instances_true"][event["instances_true"] >= 0]))
    for number, name in enumerate(scheme.classes):
        row[f"voxels_{name}"] = int((event["semantics"] == number).sum())
        row[f"particles_{name}"] = int((event["particles"]["semantic"] == number).sum())
    return row


def _columns(table: np.ndarray, prefix: str = "", scheme: ClassScheme | None = None) -> Columns:
    """Return the columns of a table; the name of the class stands behind its number."""
    columns: Columns = {}
    for name in table.dtype.names or ():
        columns[prefix + name] = table[name]
        if name == "semantic" and scheme is not None:
            names = np.array([*scheme.classes, ""])
            known = (table[name] >= 0) & (table[name] < len(scheme))
            columns[f"{prefix}class"] = names[np.where(known, table[name], len(scheme))]
    return columns


def _particles(event: dict[str, np.ndarray], scheme: ClassScheme) -> Columns:
    """Return the particles, beside each the true one that it overlaps most."""
    columns = _columns(event["particles"], scheme=scheme)
    if "matches" not in event:
        return columns
    columns |= {name: event["matches"][name] for name in MATCH.names or () if name not in ("particle", "match")}
    truth, match = event["particles_true"], event["matches"]["match"]
    nothing = empty_table(1, TRUE_PARTICLE)
    nothing["pdg"] = nothing["parent_pdg"] = 0
    rows = np.append(truth["particle"], -1)
    order = np.argsort(rows)
    place = order[np.searchsorted(rows[order], match)]
    return columns | _columns(np.concatenate([truth, nothing])[place], "true_", scheme)


def _true_particles(event: dict[str, np.ndarray], scheme: ClassScheme) -> Columns | None:
    if "matches_true" not in event:
        return None
    columns = _columns(event["particles_true"], scheme=scheme)
    return columns | {name: event["matches_true"][name] for name in MATCH.names or () if name != "particle"}


def _skipped_columns(skipped: Sequence[Skipped]) -> Columns:
    return {
        "source_file": np.array([one.file for one in skipped], dtype=object),
        "source_entry": np.array([one.entry for one in skipped], dtype=np.int64),
        "reason": np.array([one.reason for one in skipped], dtype=object),
    }
