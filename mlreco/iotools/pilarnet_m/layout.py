"""Columns and numbers of a PILArNet-M file.

Every event is a row of variable length in ``point`` (8 columns a point) and ``cluster`` (5 or 6 columns a cluster),
flat and row after row. Points stand cluster after cluster.
"""

from __future__ import annotations

import numpy as np

POINTS, CLUSTERS = "point", "cluster"
POINT_COLUMNS = ("x", "y", "z", "value", "energy", "time", "electrons", "dx")
CLUSTER_COLUMNS = ("points", "fragment", "group", "interaction", "semantic", "particle_type")
"""Columns of a cluster; the last is missing in older files."""

CLUSTER_WIDTHS = (6, 5)
IMAGE_SIZE = 768
"""Voxels along each side, which the files do not contain."""

VOXEL_SIZE = 0.3
"""Edge of a voxel, cm, which the files do not contain."""

PRODUCER = "pcluster"
PRODUCTS = ("cluster3d_pcluster", "particle_pcluster", "sparse3d_pcluster", "sparse3d_pcluster_semantics")
CLASS_SCHEME = "mlreco"

PDG_CODES = np.array([22, 11, 13, 211, 2212, 0])
"""PDG code by particle type: photon, electron, muon, pion, proton; the last one stands for -1. Signs are not known."""

SIDECAR = "_points.npy"
"""End of the name of the array with the number of points of each event, beside the file."""


def rows_of(flat: np.ndarray, width: int) -> np.ndarray | None:
    """Return an event's flat numbers as (rows, width), or None where they do not fill the rows."""
    return None if len(flat) % width else flat.reshape(-1, width)


def fits(clusters: np.ndarray, points: int) -> bool:
    """Whether a cluster table holds whole numbers, counts all points, and has classes where they should stand."""
    whole = bool(np.isfinite(clusters).all() and (clusters == np.floor(clusters)).all())
    counts, classes = clusters[:, 0], clusters[:, 4]
    named = bool((counts >= 0).all() and ((classes >= -1) & (classes <= 4)).all())
    return whole and named and float(counts.sum(dtype=np.float64)) == points
