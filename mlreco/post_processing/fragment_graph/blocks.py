"""Voxels of an event, fragment after fragment, in small blocks with a box around each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled

BLOCK = 8
"""Voxels of a block at most; neighbours along a Morton curve, so the boxes are tight."""
_BITS = 21
"""Bits of a voxel number along an axis: 63 in all."""


@dataclass(frozen=True)
class FragmentVoxels:
    """Voxels sorted by fragment, and within a fragment along a Morton curve, whatever the order of the input's rows.

    Attributes:
        rows: (N,) int64 row of the input that stands at each place; voxels without a fragment are left out.
        starts: (F + 1,) int64 place where the voxels of each fragment begin.
        positions: (N, 3) float64 coordinates at each place.
        first_block: (F + 1,) int64 number of the first block of each fragment.
        lows: (B, 3) float64 low ends of the boxes of the blocks.
        highs: (B, 3) float64 high ends.
    """

    rows: np.ndarray
    starts: np.ndarray
    positions: np.ndarray
    first_block: np.ndarray
    lows: np.ndarray
    highs: np.ndarray

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
        first_block, lows, highs = _boxes(positions, starts)
        return cls(rows, starts, positions, first_block, lows, highs)

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
def _boxes(positions: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first_block = np.zeros(len(starts), np.int64)
    for fragment in range(len(starts) - 1):
        size = starts[fragment + 1] - starts[fragment]
        first_block[fragment + 1] = first_block[fragment] + (size + BLOCK - 1) // BLOCK
    lows = np.full((first_block[-1], 3), np.inf)
    highs = np.full((first_block[-1], 3), -np.inf)
    for fragment in range(len(starts) - 1):
        for place in range(starts[fragment], starts[fragment + 1]):
            block = first_block[fragment] + (place - starts[fragment]) // BLOCK
            for axis in range(3):
                lows[block, axis] = min(lows[block, axis], positions[place, axis])
                highs[block, axis] = max(highs[block, axis], positions[place, axis])
    return first_block, lows, highs


@compiled
def whole_boxes(first_block: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (F, 3) low and high ends of the boxes around whole fragments."""
    count = len(first_block) - 1
    whole_lows, whole_highs = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    for fragment in range(count):
        for block in range(first_block[fragment], first_block[fragment + 1]):
            for axis in range(3):
                whole_lows[fragment, axis] = min(whole_lows[fragment, axis], lows[block, axis])
                whole_highs[fragment, axis] = max(whole_highs[fragment, axis], highs[block, axis])
    return whole_lows, whole_highs


@compiled
def box_gap(
    lows: np.ndarray, highs: np.ndarray, one: int, other_lows: np.ndarray, other_highs: np.ndarray, other: int
) -> float:
    """Return the squared distance of the nearest places of two boxes, 0 where they overlap."""
    total = 0.0
    for axis in range(3):
        gap = max(lows[one, axis] - other_highs[other, axis], other_lows[other, axis] - highs[one, axis], 0.0)
        total += gap * gap
    return total
