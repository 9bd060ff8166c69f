"""An image and its particles in the form in which readers hand out events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlreco.iotools.interface import ClusterVoxels, unflatten
from mlreco.simulation.modes import VOXEL_MM
from mlreco.voxels import EventVoxels, ImageMeta

if TYPE_CHECKING:
    from mlreco.simulation.image import Image

PRODUCER = "pcluster"
"""Of all products, as in the published files."""

NAMES = (
    f"sparse3d_{PRODUCER}",
    f"sparse3d_{PRODUCER}_semantics",
    f"sparse3d_{PRODUCER}_semantics_mlreco",
    f"cluster3d_{PRODUCER}",
    f"particle_{PRODUCER}",
)
"""Of the products of an event."""

MM_TO_CM = 0.1

MANTISSA_BITS = 10
"""Energies are rounded to so many bits, 0.05 %, which halves the size of compressed files."""

Products = dict[str, EventVoxels | ClusterVoxels | np.ndarray]


@dataclass(frozen=True)
class SimulatedEvent:
    """An event.

    Attributes:
        number: of the event.
        products: mode -> name of the product -> its content.
    """

    number: int
    products: dict[str, Products]


def images(image: Image, size: int) -> Products:
    """Return an image as products: its energies, its classes in both schemes, its voxel sets.

    Args:
        image: the image.
        size: voxels along each axis; the origin (cm) is such that the middle of the image is at 0.
    """
    edge = VOXEL_MM * MM_TO_CM
    meta = ImageMeta((size, size, size), (-size * edge / 2,) * 3, (edge,) * 3)
    coordinates, energies = unflatten(image.voxels, meta.shape), rounded(image.energies)
    order = np.argsort(image.instances, kind="stable")
    sets = image.instances[order].astype(np.int32)
    columns = {
        PRODUCER: energies,
        f"{PRODUCER}_semantics": image.classes[image.instances],
        f"{PRODUCER}_semantics_mlreco": image.mlreco_classes[image.instances],
    }
    return {
        **{
            f"sparse3d_{name}": EventVoxels(coordinates, values[:, None].astype(np.float32), (name,), meta)
            for name, values in columns.items()
        },
        f"cluster3d_{PRODUCER}": ClusterVoxels(coordinates[order], energies[order], sets, len(image.roots), meta),
    }


def rounded(values: np.ndarray) -> np.ndarray:
    """Return float32 with `MANTISSA_BITS` bits of mantissa, rounded to the nearest."""
    dropped = np.uint32(23 - MANTISSA_BITS)
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + (np.uint32(1) << (dropped - np.uint32(1)))) >> dropped << dropped).view(np.float32)
