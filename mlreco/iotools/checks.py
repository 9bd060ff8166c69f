"""Checks of an event before a network sees it.

Readers cannot make them: they do not know which image holds energies and which holds classes, where -1 is legal.
"""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError
from mlreco.voxels import EventVoxels

_LARGEST_CLASS = 127


def check_energies(voxels: EventVoxels, where: str) -> None:
    """Refuse negative energies.

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


def check_classes(image: EventVoxels, where: str) -> None:
    """Refuse classes that are no numbers of classes, which would become others where they are stored in a byte.

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
