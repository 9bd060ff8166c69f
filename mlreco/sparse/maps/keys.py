"""Voxels as sortable numbers.

A key packs batch index, x, y and z of a voxel into one int64, the batch index in the highest bits, so that sorted keys
are in the order of (batch, x, y, z). A coordinate has 17 bits, of which voxels use the lower half of the values.
Neighbours across the border of the image, x = -1 for example, borrow from the next axis and get values of the upper
half, where no voxel is. The *line* of a voxel is its key without z: voxels of a line differ in z alone.
"""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError

AXIS_BITS = 17
MAX_COORDINATE = 1 << 16
"""Largest voxel number along an axis: 200 m of voxels of 3 mm."""
MAX_BATCH = (1 << 11) - 1
"""Largest batch index."""

_MASK = (1 << AXIS_BITS) - 1


def keys_from_coordinates(coordinates: np.ndarray) -> np.ndarray:
    """Return the (N,) int64 keys of voxels, in the order given.

    Args:
        coordinates: (N, 4) integers: batch index, x, y, z.

    Raises:
        UserError: a coordinate is negative or above ``MAX_COORDINATE``, or a batch index above ``MAX_BATCH``.
    """
    coordinates = np.asarray(coordinates, np.int64)
    limits = np.array([MAX_BATCH, MAX_COORDINATE, MAX_COORDINATE, MAX_COORDINATE])
    if len(coordinates) and (coordinates.min() < 0 or (largest(coordinates) > limits).any()):
        bad = ((coordinates < 0) | (coordinates > limits)).any(axis=1)
        batch, x, y, z = coordinates[bad][0]
        raise UserError(
            f"voxel ({x}, {y}, {z}) of image {batch} in the batch cannot be convolved: "
            f"coordinates go from 0 to {MAX_COORDINATE}, images from 0 to {MAX_BATCH}"
        )
    batch, x, y, z = coordinates.T
    return join(batch << 2 * AXIS_BITS | x << AXIS_BITS | y, z)


def largest(coordinates: np.ndarray) -> np.ndarray:
    """Return the largest number of every column, (C,), at least 0: column by column, which is faster than all at once.

    Args:
        coordinates: (N, C) integers.
    """
    return np.array([column.max(initial=0) for column in coordinates.T])


def coordinates_from_keys(keys: np.ndarray) -> np.ndarray:
    """Return the (N, 4) int64 batch index, x, y, z of keys."""
    lines, z = keys >> AXIS_BITS, keys & _MASK
    return np.stack([lines >> 2 * AXIS_BITS, lines >> AXIS_BITS & _MASK, lines & _MASK, z], axis=1)


def join(lines: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the (N,) keys of voxels from their lines, packed (batch, x, y), and their z."""
    return lines << AXIS_BITS | z


def split(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lines, packed (batch, x, y), int64, and the z, int32, of keys."""
    return keys >> AXIS_BITS, (keys & _MASK).astype(np.int32)
