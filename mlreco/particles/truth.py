"""The true particles of an event as a table of numbers, as far as the input tells."""

from __future__ import annotations

import numpy as np

from mlreco.particles.columns import AXES, put_vectors
from mlreco.particles.kinds import most_common
from mlreco.particles.measures import empty_table

TRUE_PARTICLE = np.dtype(
    [
        ("particle", "<i4"),
        ("semantic", "<i1"),
        ("shape", "<i1"),
        ("primary", "<i1"),
        ("pdg", "<i4"),
        ("parent_pdg", "<i4"),
        ("parent", "<i4"),
        ("track_id", "<i8"),
        ("parent_track_id", "<i8"),
        ("group", "<i8"),
        ("interaction", "<i8"),
        ("voxels", "<i4"),
        ("energy", "<f4"),
        ("energy_deposit", "<f4"),
        ("kinetic_energy", "<f4"),
        ("momentum", "<f4"),
        ("length", "<f4"),
        *((f"{point}_{axis}", "<f4") for point in ("start", "end", "vertex", "stop", "direction") for axis in AXES),
    ]
)
"""A true particle. ``particle`` is its number in ``instances_true``; ``semantic`` the most common class, ``voxels`` and
``energy`` (MeV) the number and the sum of its voxels. From the particle table of the input: ``shape`` (0 shower, 1
track, 2 Michel, 3 delta, 4 low energy), ``primary``, ``pdg`` and that of its parent, ``parent`` (number of the particle
out of which it came), ids of tracks, group, interaction, ``energy_deposit``, kinetic energy at its creation,
momentum (MeV, MeV/c), path length (cm), ``start`` and ``end`` (first and last energy in the image), ``vertex`` and
``stop`` (where it was created and ended, also outside), direction of its momentum. Unknown numbers are NaN, unknown
integers -1, an unknown ``pdg`` 0."""

_POINTS = {"start": "first_step", "end": "last_step", "vertex": "vtx", "stop": "end_pt"}


def true_particles(
    rows: np.ndarray | None,
    instances: np.ndarray | None,
    semantics: np.ndarray | None = None,
    energies: np.ndarray | None = None,
    numbers: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Return the table ``TRUE_PARTICLE`` of an event.

    Args:
        rows: (P,) particle table of the input; row i is the particle of instance i. None where there is none: then
            the table has the particles that have voxels.
        instances: (N,) true particle of each voxel, -1 for none; None where that is not known.
        semantics: (N,) true classes.
        energies: (N,) MeV.
        numbers: ``group``, ``interaction``, ``parent`` (a row) and ``primary`` of the rows, -1 where unknown: where
            they stand differs between formats.
    """
    if instances is None:
        table = empty_table(0 if rows is None else len(rows), TRUE_PARTICLE)
        table["particle"], table["pdg"], table["parent_pdg"] = np.arange(len(table)), 0, 0
        if rows is not None:
            _take(table, rows, numbers or {})
        return table
    instances = np.asarray(instances, np.int64)
    inside = instances >= 0
    known = np.arange(0 if rows is None else len(rows))
    numbers_here = np.union1d(known, instances[inside])  # they may be of any size
    owners, count = np.searchsorted(numbers_here, instances[inside]), len(numbers_here)
    table = empty_table(count, TRUE_PARTICLE)
    table["particle"], table["pdg"], table["parent_pdg"] = numbers_here, 0, 0
    table["voxels"] = np.bincount(owners, minlength=count)
    if energies is not None:
        table["energy"] = np.bincount(owners, np.asarray(energies, np.float64)[inside], count)
    if semantics is not None:
        table["semantic"] = most_common(np.asarray(semantics)[inside], owners, count)
    if rows is not None:
        _take(table[: len(rows)], rows, numbers or {})
    return table


MOST = 1e12
"""MeV or cm; no particle that a detector sees has more energy, or comes from farther away."""


def _credible(values: np.ndarray) -> np.ndarray:
    """Return energies, momenta (MeV) or places (cm) in float64; NaN for what cannot be, as from a damaged file."""
    values = values.astype(np.float64)
    return np.where(np.abs(values) <= MOST, values, np.nan)


def _take(table: np.ndarray, rows: np.ndarray, numbers: dict[str, np.ndarray]) -> None:
    names = rows.dtype.names or ()
    for name, values in numbers.items():
        table[name] = values
    for name, field in (("pdg", "pdg"), ("parent_pdg", "parent_pdg"), ("shape", "shape")):
        if field in names:
            table[name] = rows[field]
    for name, field in (("energy_deposit", "energy_deposit"), ("length", "dist_travel")):
        if field in names:
            table[name] = _credible(rows[field])
    for name, field in _POINTS.items():
        if field in names:
            put_vectors(table, name, np.stack([_credible(rows[field][axis]) for axis in AXES], axis=1))
    if {"px", "py", "pz"} <= set(names):
        momentum = np.stack([_credible(rows[name]) for name in ("px", "py", "pz")], axis=1)
        size = np.linalg.norm(momentum, axis=1)
        table["momentum"] = size
        put_vectors(table, "direction", momentum / np.where(size > 0, size, np.nan)[:, None])
        if "energy_init" in names:
            energy = _credible(rows["energy_init"])
            mass = np.sqrt(np.maximum(energy**2 - size**2, 0))
            table["kinetic_energy"] = energy - mass
    if {"trackid", "parent_trackid"} <= set(names):
        ancestry = rows["process"] != b"" if "process" in names else np.ones(len(rows), bool)
        table["track_id"] = rows["trackid"]
        table["parent_track_id"] = np.where(ancestry, rows["parent_trackid"].astype(np.int64), -1)
