"""The tables of all events of an output file, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlreco.analysis.events import TABLES, TRUTH, events_with_particles, scheme_of
from mlreco.errors import UserError
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.particles.columns import vectors_of
from mlreco.particles.kinds import Kind, kinds_of
from mlreco.progress import Progress
from mlreco.semantics import ClassScheme

GOOD_IOU = 0.5
"""A reconstructed particle matches a true one if their intersection over union is above this; at most one does."""


@dataclass(frozen=True)
class Sample:
    """Particles of all events.

    Attributes:
        path: the output file.
        scheme: numbering of the classes.
        events: number of events.
        particles: (K,) records with the columns of the product and ``event``.
        interactions: (I,) records, likewise.
        dedx: (B,) records, likewise.
        truth: (T,) records of the true particles, likewise; None where the file has no labels.
        matched: (K,) row of `truth` of each particle, -1 for none that it shares more than half with.
        found: (T,) row of `particles` of each true particle, likewise; None without labels.
        owners: (B,) row of `particles` of each step.
        has_truth: whether the input has the kinds of its particles.
    """

    path: Path
    scheme: ClassScheme
    events: int
    particles: np.ndarray
    interactions: np.ndarray
    dedx: np.ndarray
    truth: np.ndarray | None
    matched: np.ndarray
    found: np.ndarray | None
    owners: np.ndarray

    @property
    def has_truth(self) -> bool:
        """Whether the input has the kinds of its particles, not only their voxels."""
        return self.truth is not None and bool((self.truth["pdg"] != 0).any())

    @property
    def kinds(self) -> np.ndarray:
        """(K,) `Kind` of each particle."""
        return kinds_of(self.particles["semantic"], self.scheme)

    def true_of(self, rows: np.ndarray, name: str) -> np.ndarray:
        """Return a column of the true particle of each row of `particles`; NaN where there is none.

        Raises:
            UserError: the file has no labels.
        """
        if self.truth is None:
            raise UserError(f"{self.path}: has no true particles")
        if not len(self.truth):
            return np.full(len(rows), np.nan)
        place = self.matched[rows]
        return np.where(place >= 0, self.truth[name][place].astype(np.float64), np.nan)

    def true_vectors(self, rows: np.ndarray, name: str) -> np.ndarray:
        """Return (n, 3) vectors of the true particle of each row of `particles`; NaN where there is none."""
        return np.stack([self.true_of(rows, f"{name}_{axis}") for axis in "xyz"], axis=1)

    def vectors(self, rows: np.ndarray, name: str) -> np.ndarray:
        """Return (n, 3) vectors of rows of `particles`."""
        return vectors_of(self.particles[rows], name)

    def tracks(self) -> np.ndarray:
        """Return the rows of the tracks."""
        return np.flatnonzero(self.kinds == Kind.TRACK)

    def showers(self) -> np.ndarray:
        """Return the rows of the showers."""
        return np.flatnonzero(self.kinds == Kind.SHOWER)


def read_sample(path: str | Path) -> Sample:
    """Read the particles of an output file, or compute them if it has none.

    Raises:
        UserError: no output file, damaged, empty, or without instances.
    """
    with HDF5Reader(path) as reader:
        if not len(reader):
            raise UserError(f"{path}: holds no events")
        scheme = scheme_of(reader)
        tables = _stored(reader) if set(TABLES) <= set(reader.products) else _made(reader)
        particles = tables["particles"]
        truth = tables.get("particles_true") if "matches" in tables else None
        matched, found = np.full(len(particles), -1, np.int64), None
        if truth is not None:
            matched = _rows(tables["matches"], truth)
            found = _rows(tables["matches_true"], particles)
        dedx = tables["track_dedx"]
        owners = places(particles, dedx["event"], dedx["particle"])
        rest = particles, tables["interactions"], dedx, truth, matched, found, owners
        return Sample(Path(path), scheme, len(reader), *rest)


def _stored(reader: HDF5Reader) -> dict[str, np.ndarray]:
    """Read the tables that a file has, each at once."""
    tables = {}
    for name in (*TABLES, *TRUTH):
        if name in reader.products:
            rows, offsets = reader.range(0, len(reader), [name])[name]
            tables[name] = _with_event(rows, np.repeat(np.arange(len(reader)), np.diff(offsets)))
    return tables


def _made(reader: HDF5Reader) -> dict[str, np.ndarray]:
    """Make the tables of a file that has none, event by event."""
    collected: dict[str, list[np.ndarray]] = {}
    with Progress("particles", total=len(reader)) as progress:
        for index, event in enumerate(events_with_particles(reader)):
            for name in (*TABLES, *TRUTH):
                if name in event:
                    collected.setdefault(name, []).append(_with_event(event[name], index))
            progress.advance()
    return {name: np.concatenate(parts) for name, parts in collected.items()}


def _with_event(table: np.ndarray, index: int | np.ndarray) -> np.ndarray:
    names = table.dtype.names or ()
    rows = np.empty(len(table), [("event", "<i8"), *((name, table.dtype[name]) for name in names)])
    rows["event"] = index
    for name in names:
        rows[name] = table[name]
    return rows


def places(table: np.ndarray, events: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the row of a table with each event and particle number, -1 for none."""
    if not len(table):
        return np.full(len(events), -1, np.int64)
    base = max(int(table["particle"].max()), int(numbers.max(initial=0))) + 2
    keys, wanted = table["event"] * base + table["particle"], events * base + numbers
    order = np.argsort(keys)
    place = order[np.searchsorted(keys[order], wanted).clip(max=len(keys) - 1)]
    return np.where((keys[place] == wanted) & (numbers >= 0), place, -1)


def _rows(matches: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the row of the other table that each match names, -1 where they share too little."""
    rows = places(other, matches["event"], matches["match"])
    return np.where(matches["iou"] > GOOD_IOU, rows, -1)


def angle_between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the angles between (n, 3) unit vectors, degrees."""
    return np.degrees(np.arccos(np.clip((one * other).sum(axis=1), -1, 1)))
