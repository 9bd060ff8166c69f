"""Voxels as sortable numbers in which the eight children of a coarser voxel follow one another (Morton, 1966).

A code holds, from its highest bits: the batch index, then the bits of x, y and z in turns, three for every level. The
code of the voxel one level up is the one without the lowest three bits of the position; those three bits are the number
of the child, in row-major order of (x, y, z). A coordinate has 17 bits, of which voxels use the lower half of the
values: a neighbour outside of the image gets a value of the upper half, where no voxel is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from mlreco.sparse.maps.keys import AXIS_BITS, MAX_BATCH, MAX_COORDINATE

POSITION_BITS = 3 * AXIS_BITS
_SPREADING = (
    (32, 0x001F00000000FFFF),
    (16, 0x001F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)
"""Shifts and masks that put two zeros between the bits of a number, for up to 21 bits."""
_Z_BITS = sum(1 << 3 * bit for bit in range(AXIS_BITS))
AXES = (_Z_BITS << 2, _Z_BITS << 1, _Z_BITS)
"""Bits of x, of y and of z."""


def fits(spatial_shape: Sequence[int], batch_size: int) -> bool:
    """Tell whether all voxels of such a batch of images have codes."""
    return max(spatial_shape) <= MAX_COORDINATE + 1 and batch_size <= MAX_BATCH + 1


def codes_of(indices: Tensor) -> Tensor:
    """Return the (N,) int64 codes of (N, 4) integers: batch index, x, y, z."""
    batch, *axes = indices.T.long()
    bits = torch.stack(axes)
    for shift, mask in _SPREADING:
        bits = (bits | bits << shift) & mask
    return batch << POSITION_BITS | bits[0] << 2 | bits[1] << 1 | bits[2]


def coarser(codes: Tensor, levels: int) -> Tensor:
    """Return the codes of the voxels that hold these in the first ``levels`` levels, their own included.

    Args:
        codes: (N,).
        levels: number of levels, each half as fine as the one before.

    Returns:
        (levels, N) int64.
    """
    position = codes & (1 << POSITION_BITS) - 1
    shifts = torch.arange(0, 3 * levels, 3, device=codes.device)
    return (codes - position) | position >> shifts[:, None]


def neighbours(codes: Tensor) -> Tensor:
    """Return the codes of each voxel's 27 neighbours, itself among them, in row-major order of their offset.

    Bits between those of an axis are set, so that a carry passes through them.

    Returns:
        (N, 27) int64; a neighbour below 0 has a code that no voxel has.
    """
    masks, steps = _steps(codes.device)
    x, y, z = ((codes[:, None] | ~masks) + steps) & masks
    batch = codes & ~((1 << POSITION_BITS) - 1)
    plane = batch[:, None, None] | x[:, :, None] | y[:, None, :]
    return (plane[..., None] | z[:, None, None, :]).reshape(len(codes), 27)


@lru_cache
def _steps(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return, by axis, the bits, (3, 1, 1), and what is added to them to go back, to stay and to go on, (3, 1, 3)."""
    steps = [[bits, 0, bits & -bits] for bits in AXES]
    with torch.inference_mode(False):
        return torch.tensor(AXES, device=device)[:, None, None], torch.tensor(steps, device=device)[:, None]
