"""Checks of an event before a network sees it.

Readers cannot make them: they do not know which image holds energies and which holds classes, where -1 is legal.
"""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError
from mlreco.voxels import EventVoxels

_LARGEST_CLASS = 127
MAX_ENERGY = 1e9
"""Larger than any energy of a voxel in the units in use; the statistics of a network overflow beyond 1e18."""


def check_energies(voxels: EventVoxels, where: str) -> None:
    """Refuse negative energies, and those beyond ``MAX_ENERGY``.

    Args:
        voxels: an image whose features are energies.
        where: file, event and schema key, for the message.

    Raises:
        UserError: a feature is negative or too large; names the first such voxel.
    """
    if not len(voxels) or (voxels.features.min() >= 0 and voxels.features.max() <= MAX_ENERGY):
        return
    bad = (voxels.features < 0) | (voxels.features > MAX_ENERGY)
    row = int(np.flatnonzero(bad.any(axis=1))[0])
    x, y, z = voxels.coordinates[row].tolist()
    value = voxels.features[row][bad[row]][0]
    what = f"the negative energy {value:.6g}" if value < 0 else f"the energy {value:.6g}, beyond {MAX_ENERGY:g}"
    raise UserError(f"{where}: voxel ({x}, {y}, {z}) has {what}")


def check_classes(image: EventVoxels, where: str) -> None:
    """Refuse numbers that are no classes, and that would become other numbers where classes are stored in a byte.

    Args:
        image: an image whose only feature is a class; -1 is unknown.
        where: file, event and product, for the message.

    Raises:
        UserError: a class is no whole number from -1 to 127; names the first such voxel.
    """
    classes = image.features[:, 0]
    sound = (classes >= -1) & (classes <= _LARGEST_CLASS) & (classes == np.floor(classes))
    if not sound.all():
        row = int(np.flatnonzero(~sound)[0])
        x, y, z = image.coordinates[row].tolist()
        raise UserError(
            f"{where}: voxel ({x}, {y}, {z}) has the class {classes[row]:.6g}, which is no number of a class"
        )
