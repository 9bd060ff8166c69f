"""Voxels as sortable numbers.

A key is one complex number: its real part is the voxel's line along z, (batch, x, y) packed into 53 bits, its
imaginary part is z. numpy orders complex numbers by real, then imaginary part, so sorted keys are in the order of
(batch, x, y, z). 64 bits would not hold a batch index and images of 2^20 voxels along each axis; 2 x 53 bits do.
"""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError

AXIS_BITS = 21
MAX_COORDINATE = 1 << 20
"""Largest voxel number along an axis; the upper half of 21 bits keeps neighbours apart across the image's border."""
MAX_BATCH = (1 << 11) - 1
"""Largest batch index."""

_MASK = (1 << AXIS_BITS) - 1


def keys_from_coordinates(coordinates: np.ndarray) -> np.ndarray:
    """Return the (N,) complex128 keys of voxels, in the order given.

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
    lines, z = split(keys)
    return np.stack([lines >> 2 * AXIS_BITS, lines >> AXIS_BITS & _MASK, lines & _MASK, z.astype(np.int64)], axis=1)


def join(lines: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the (N,) keys of voxels from their packed (batch, x, y) and their z."""
    keys = np.empty(len(lines), np.complex128)
    keys.real = lines
    keys.imag = z
    return keys


def split(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the packed (batch, x, y), int64, and the z, int32, of keys."""
    return keys.real.astype(np.int64), keys.imag.astype(np.int32)
