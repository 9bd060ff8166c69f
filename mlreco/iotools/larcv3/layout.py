"""Tables of a LArCV3 HDF5 file: their types, names and invalid values."""

from __future__ import annotations

import numpy as np

EXTENTS = np.dtype({"names": ["first", "N"], "formats": ["<u8", "<u4"], "offsets": [0, 8], "itemsize": 16})
"""First row and number of rows of an event in the next table."""

ID_EXTENTS = np.dtype([("first", "<u8"), ("N", "<u4"), ("ID", "<u4")])
"""First row and number of rows of a projection or of a voxel set in the next table."""

VOXEL = np.dtype({"names": ["id", "value"], "formats": ["<u8", "<f4"], "offsets": [0, 8], "itemsize": 16})
"""A voxel: its number in C order (z fastest) and its value."""

IMAGE_META = np.dtype(
    {
        "names": ["valid", "projection_id", "image_sizes", "number_of_voxels", "origin"],
        "formats": ["u1", "<u8", ("<f8", (3,)), ("<u8", (3,)), ("<f8", (3,))],
        "offsets": [0, 8, 16, 40, 64],
        "itemsize": 96,
    }
)
"""Geometry of an image: full sizes (cm), numbers of voxels, origin (cm)."""

EVENT_ID = np.dtype([("run", "<i8"), ("subrun", "<i8"), ("event", "<i8")])

POINT = np.dtype([("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("t", "<f8")])

PARTICLE_POINTS = ("vtx", "end_pt", "first_step", "last_step", "parent_vtx", "ancestor_vtx")
"""Fields of a particle that are positions (cm) and times (ns)."""

PARTICLE_MOMENTUM = ("px", "py", "pz")

PARTICLE = np.dtype(
    [
        ("id", "<u2"),
        ("mcst_index", "<u2"),
        ("mct_index", "<u2"),
        ("shape", "<i4"),
        ("current_type", "<i2"),
        ("interaction_type", "<i2"),
        ("trackid", "<u4"),
        ("pdg", "<i4"),
        ("px", "<f8"),
        ("py", "<f8"),
        ("pz", "<f8"),
        ("vtx", POINT),
        ("end_pt", POINT),
        ("first_step", POINT),
        ("last_step", POINT),
        ("dist_travel", "<f8"),
        ("energy_init", "<f8"),
        ("energy_deposit", "<f8"),
        ("process", "S64"),
        ("parent_trackid", "<u4"),
        ("parent_pdg", "<i4"),
        ("parent_vtx", POINT),
        ("ancestor_trackid", "<u4"),
        ("ancestor_pdg", "<i4"),
        ("ancestor_vtx", POINT),
    ],
    align=True,
)
"""A particle, 344 bytes with C alignment."""

PARTICLE_IDS = ("id", "mcst_index", "mct_index", "trackid", "parent_trackid", "ancestor_trackid")
"""Fields of a particle that are ids; the largest value of the type says that there is none."""

UNKNOWN_SHAPE = 2


def unset_particles(count: int) -> np.ndarray:
    """Return (count,) particles of which nothing is known: ids not set, numbers NaN, codes and texts empty."""
    blank = np.zeros(1, dtype=PARTICLE)
    for name in PARTICLE.names or ():
        kind = PARTICLE[name]
        if kind.names:
            blank[name] = (np.nan,) * len(kind.names)
        elif kind.kind == "f":
            blank[name] = np.nan
        elif name in PARTICLE_IDS:
            blank[name] = np.iinfo(kind).max
    blank["shape"] = UNKNOWN_SHAPE
    return np.repeat(blank, count)


EVENTS_TABLE = "Events/event_id"
DATA_GROUP = "Data"
SCHEME_ATTRIBUTE = "class_scheme"
"""Attribute of the file with the numbering of its classes; the larcv library knows none."""

KINDS = {
    "sparse3d": ("extents", "voxel_extents", "image_meta", "voxels"),
    "cluster3d": ("extents", "projection_extents", "cluster_extents", "image_meta", "voxels"),
    "particle": ("extents", "particles"),
}
"""Tables of each kind of product that this package reads."""


TYPES = {
    EVENTS_TABLE: EVENT_ID,
    "extents": EXTENTS,
    "voxel_extents": ID_EXTENTS,
    "projection_extents": ID_EXTENTS,
    "cluster_extents": ID_EXTENTS,
    "image_meta": IMAGE_META,
    "voxels": VOXEL,
    "particles": PARTICLE,
}
"""Columns of each table."""


def split_product(product: str) -> tuple[str, str]:
    """Split ``sparse3d_pcluster`` into the kind ``sparse3d`` and the producer ``pcluster``."""
    kind, _, producer = product.partition("_")
    return kind, producer


def group_name(product: str) -> str:
    """Return the group of a product, ``Data/sparse3d_pcluster_group``."""
    return f"{DATA_GROUP}/{product}_group"
