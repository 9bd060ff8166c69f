"""Columns of the tables of particles, interactions and dE/dx."""

from __future__ import annotations

import numpy as np

from mlreco.semantics import ClassScheme

AXES = ("x", "y", "z")
POINTS = ("start", "end", "direction", "centroid", "axis")
"""Columns with a number for each axis: ``start_x``, ``start_y``, ``start_z``."""

DEDX = np.dtype(
    [("particle", "<i4"), ("distance", "<f4"), ("residual_range", "<f4"), ("width", "<f4"), ("dedx", "<f4")]
)
"""Steps along tracks: number of the particle, path length from its start and to its end (cm), length of the step (cm),
dE/dx (MeV/cm)."""

INTERACTION = np.dtype(
    [
        ("interaction", "<i4"),
        ("particles", "<i4"),
        ("primaries", "<i4"),
        *((f"vertex_{axis}", "<f4") for axis in AXES),
        ("vertex_spread", "<f4"),
        ("energy", "<f4"),
    ]
)
"""An interaction: its number, how many particles and primaries it has, its vertex and the uncertainty of that in each
axis (cm), the energy of its voxels (MeV)."""


def particle_type(scheme: ClassScheme) -> np.dtype:
    """Return the columns of the table of particles; those of class scores are named after the classes."""
    numbers = [("particle", "<i4"), ("semantic", "<i1"), ("voxels", "<i4"), ("interaction", "<i4"), ("parent", "<i4")]
    flags = [("primary", "<i1"), ("contained", "<i1"), ("stops", "<f4"), ("pdg", "<i4")]
    floats = [
        *(f"score_{name}" for name in scheme.classes),
        "score_proton",
        "score_photon",
        "energy",
        "expected_energy",
        "length",
        *(f"{point}_{axis}" for point in ("start", "end", "direction") for axis in AXES),
        "direction_error",
        "sense_confidence",
        "dedx",
        "dedx_start",
        "dedx_end",
        "range_energy_muon",
        "range_energy_pion",
        "range_energy_proton",
        "kinetic_energy",
        "wall_distance",
        "nearest_distance",
        "vertex_distance",
        *(f"{point}_{axis}" for point in ("centroid", "axis") for axis in AXES),
        "spread_1",
        "spread_2",
        "spread_3",
        "margin",
        "seediness",
        "confidence",
    ]
    return np.dtype([*numbers, *flags, *((name, "<f4") for name in floats)])


def put_vectors(table: np.ndarray, name: str, vectors: np.ndarray) -> None:
    """Fill the columns ``name_x``, ``name_y`` and ``name_z`` from (K, 3) vectors."""
    for axis, column in zip(AXES, vectors.T, strict=True):
        table[f"{name}_{axis}"] = column


def vectors_of(table: np.ndarray, name: str) -> np.ndarray:
    """Return (K, 3) float64 vectors from the columns ``name_x``, ``name_y`` and ``name_z``."""
    return np.stack([table[f"{name}_{axis}"].astype(np.float64) for axis in AXES], axis=1)
