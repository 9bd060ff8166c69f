"""Trees and leaves of a LArCV2 file."""

from __future__ import annotations

import re

KINDS = ("sparse3d", "cluster3d", "particle")
"""Kinds of product that this package reads."""

EVENT_LEAVES = ("_run", "_subrun", "_event")
VOXEL_IDS, VOXEL_VALUES = "_voxel_v._id", "_voxel_v._value"
VOXEL_SETS = "_voxel_vv._voxel_v"
PARTICLE_PREFIX = "_part_v."

META_COUNTS = ("_meta._xnum", "_meta._ynum", "_meta._znum")
META_SIZES = ("_meta._xlen", "_meta._ylen", "_meta._zlen")
META_ORIGINS = (
    ("_meta._p1.x", "_meta._p1.y", "_meta._p1.z"),
    ("_meta._xmin", "_meta._ymin", "_meta._zmin"),
)
"""Leaves of the image's lower corner: today's, and those before the meta became a box."""

RENAMED = {"index": "id"}
"""Names of particle members in old files -> today's."""


def tree_name(product: str) -> str:
    """Return the tree of a product, ``sparse3d_pcluster_tree``."""
    return f"{product}_tree"


def particle_field(leaf: str) -> str:
    """Return the field for a particle leaf: ``_part_v._bb3d._p1.x`` is ``bb3d_p1_x``."""
    words = re.split(r"[._]+", leaf.removeprefix(PARTICLE_PREFIX))
    name = "_".join(word for word in words if word)
    return RENAMED.get(name, name)
