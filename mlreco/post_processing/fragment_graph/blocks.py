"""Voxels of an event, fragment after fragment, in small blocks with a box around each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled

BLOCK = 8
"""Voxels of a block at most; neighbours along a Morton curve, so the boxes are tight."""
SUPER = 8
"""Number of blocks that share an upper box."""
_BITS = 21
"""Bits of a voxel number along an axis; the three axes have 63."""


class Boxes(NamedTuple):
    """Boxes around blocks of voxels and, above them, around groups of blocks; compiled functions take them as they are.

    Attributes:
        first_block: (F + 1,) int64 number of the first block of each fragment.
        lows: (B, 3) float64 low ends of the boxes of the blocks.
        highs: (B, 3) float64 high ends.
        first_super: (F + 1,) int64 number of the first upper box of each fragment.
        super_lows: (U, 3) float64 low ends of the upper boxes.
        super_highs: (U, 3) float64 high ends.
    """

    first_block: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    first_super: np.ndarray
    super_lows: np.ndarray
    super_highs: np.ndarray


@dataclass(frozen=True)
class FragmentVoxels:
    """Voxels sorted by fragment, and within a fragment along a Morton curve, whatever the order of the input's rows.

    Attributes:
        rows: (N,) int64 row of the input that stands at each place; voxels without a fragment are left out.
        starts: (F + 1,) int64 place where the voxels of each fragment begin.
        positions: (N, 3) float64 coordinates at each place.
        boxes: those around the voxels of each fragment.
    """

    rows: np.ndarray
    starts: np.ndarray
    positions: np.ndarray
    boxes: Boxes

    @classmethod
    def sort(cls, coordinates: np.ndarray, fragments: np.ndarray) -> FragmentVoxels:
        """Sort the voxels of an event.

        Args:
            coordinates: (N, 3) integers from 0, below 2^21.
            fragments: (N,) integers, fragment of each voxel from 0 without gaps, -1 for none.
        """
        rows = np.argsort(morton_codes(np.ascontiguousarray(coordinates, np.int64)), kind="stable")
        rows = rows[fragments[rows] >= 0]
        starts = np.zeros(int(fragments.max(initial=-1)) + 2, np.int64)
        rows = _by_fragment(rows, np.ascontiguousarray(fragments, np.int64), starts)
        positions = np.ascontiguousarray(coordinates[rows], np.float64)
        blocks = _boxes(positions, positions, starts, BLOCK)
        return cls(rows, starts, positions, Boxes(*blocks, *_boxes(blocks[1], blocks[2], blocks[0], SUPER)))

    @property
    def sizes(self) -> np.ndarray:
        """(F,) int64 voxels of each fragment."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1


@compiled
def morton_codes(coordinates: np.ndarray) -> np.ndarray:
    """Return the (N,) int64 places of (N, 3) voxels along a Morton curve: distinct for distinct voxels."""
    codes = np.zeros(len(coordinates), np.int64)
    for row in range(len(coordinates)):
        for axis in range(3):
            codes[row] |= _spread(coordinates[row, axis]) << axis
    return codes


@compiled
def _spread(number: int) -> int:
    """Put two zeros between neighbouring bits of an integer below 2^21."""
    number &= (1 << _BITS) - 1
    number = (number | number << 32) & 0x1F00000000FFFF
    number = (number | number << 16) & 0x1F0000FF0000FF
    number = (number | number << 8) & 0x100F00F00F00F00F
    number = (number | number << 4) & 0x10C30C30C30C30C3
    return (number | number << 2) & 0x1249249249249249


@compiled
def _by_fragment(rows: np.ndarray, fragments: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the rows fragment after fragment, otherwise in their order, and write where each begins."""
    for row in rows:
        starts[fragments[row] + 1] += 1
    for fragment in range(len(starts) - 1):
        starts[fragment + 1] += starts[fragment]
    free, ordered = starts.copy(), np.empty_like(rows)
    for row in rows:
        ordered[free[fragments[row]]] = row
        free[fragments[row]] += 1
    return ordered


@compiled
def _boxes(
    lows: np.ndarray, highs: np.ndarray, starts: np.ndarray, together: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put boxes (or points) of each fragment, so many at a time, into larger ones.

    Args:
        lows: (N, 3) float64 low ends of the boxes, fragment after fragment.
        highs: (N, 3) float64 high ends.
        starts: (F + 1,) int64 where each fragment begins.
        together: number of boxes in a larger one.

    Returns:
        first (F + 1,) int64 larger box of each fragment, lows (B, 3) and highs (B, 3).
    """
    first = np.zeros(len(starts), np.int64)
    for fragment in range(len(starts) - 1):
        size = starts[fragment + 1] - starts[fragment]
        first[fragment + 1] = first[fragment] + (size + together - 1) // together
    larger_lows, larger_highs = np.full((first[-1], 3), np.inf), np.full((first[-1], 3), -np.inf)
    for fragment in range(len(starts) - 1):
        for place in range(starts[fragment], starts[fragment + 1]):
            box = first[fragment] + (place - starts[fragment]) // together
            for axis in range(3):
                larger_lows[box, axis] = min(larger_lows[box, axis], lows[place, axis])
                larger_highs[box, axis] = max(larger_highs[box, axis], highs[place, axis])
    return first, larger_lows, larger_highs


@compiled
def whole_boxes(first: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (F, 3) low and high ends of the boxes around whole fragments from smaller ones."""
    count = len(first) - 1
    whole_lows, whole_highs = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    for fragment in range(count):
        for box in range(first[fragment], first[fragment + 1]):
            for axis in range(3):
                whole_lows[fragment, axis] = min(whole_lows[fragment, axis], lows[box, axis])
                whole_highs[fragment, axis] = max(whole_highs[fragment, axis], highs[box, axis])
    return whole_lows, whole_highs


@compiled
def box_gap(
    lows: np.ndarray, highs: np.ndarray, one: int, other_lows: np.ndarray, other_highs: np.ndarray, other: int
) -> float:
    """Return the squared distance of the nearest places of two boxes, 0 where they overlap.

    It compares instead of calling ``max``, for which numba also checks for NaN.
    """
    total = 0.0
    for axis in range(3):
        below, above = lows[one, axis] - other_highs[other, axis], other_lows[other, axis] - highs[one, axis]
        gap = below if below > above else above
        total += gap * gap if gap > 0.0 else 0.0
    return total
