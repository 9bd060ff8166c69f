"""Checks of an event before a network sees it."""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError
from mlreco.voxels import EventVoxels


def check_energies(voxels: EventVoxels, where: str) -> None:
    """Refuse negative energies.

    Readers cannot do this: they do not know which image holds energies and which holds classes, where -1 is legal.

    Args:
        voxels: an image whose features are energies.
        where: file, event and schema key, for the message.

    Raises:
        UserError: a feature is negative; names the first such voxel.
    """
    if not len(voxels) or voxels.features.min() >= 0:
        return
    row = int(np.flatnonzero((voxels.features < 0).any(axis=1))[0])
    x, y, z = voxels.coordinates[row].tolist()
    raise UserError(f"{where}: voxel ({x}, {y}, {z}) has the negative energy {voxels.features[row].min():.6g}")
