"""Where two fragments come nearest to each other."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.blocks import BLOCK, FragmentVoxels, box_gap

_STEPS = 3
"""Turns of the search for a first guess; more only tighten it."""


def closest_approach(voxels: FragmentVoxels, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest voxels of pairs of fragments, exactly.

    A first guess goes to and fro between the fragments; then only blocks are compared whose boxes are nearer than the
    best pair known. Of equally near pairs the one that comes first along the curve is taken.

    Args:
        voxels: the fragments.
        pairs: (E, 2) integers, numbers of two fragments.

    Returns:
        (E, 2) int64 places of the two voxels, and (E,) float64 their distances.
    """
    return _approach(
        voxels.positions,
        voxels.starts,
        voxels.first_block,
        voxels.lows,
        voxels.highs,
        np.ascontiguousarray(pairs, np.int64),
    )


@compiled
def _approach(
    positions: np.ndarray,
    starts: np.ndarray,
    first_block: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    pairs: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    places = np.empty((len(pairs), 2), np.int64)
    distances = np.empty(len(pairs))
    for number in range(len(pairs)):
        one, other = pairs[number]
        guess = starts[other]
        for _ in range(_STEPS):
            place, _bound = _nearest(positions, starts, first_block, lows, highs, one, guess)
            guess, bound = _nearest(positions, starts, first_block, lows, highs, other, place)
        best, first, second = np.nextafter(bound, np.inf), place, guess
        for block in range(first_block[one], first_block[one + 1]):
            for other_block in range(first_block[other], first_block[other + 1]):
                if box_gap(lows, highs, block, lows, highs, other_block) >= best:
                    continue
                begin = starts[one] + (block - first_block[one]) * BLOCK
                other_begin = starts[other] + (other_block - first_block[other]) * BLOCK
                for i in range(begin, min(begin + BLOCK, starts[one + 1])):
                    for j in range(other_begin, min(other_begin + BLOCK, starts[other + 1])):
                        squared = _squared(positions, i, j)
                        if squared < best:
                            best, first, second = squared, i, j
        places[number, 0], places[number, 1] = first, second
        distances[number] = np.sqrt(best)
    return places, distances


@compiled
def _nearest(
    positions: np.ndarray,
    starts: np.ndarray,
    first_block: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    fragment: int,
    place: int,
) -> tuple[int, float]:
    """Return the voxel of a fragment that is nearest to a voxel, the first of equally near ones, and how far it is."""
    best, found = np.inf, -1
    for block in range(first_block[fragment], first_block[fragment + 1]):
        if box_gap(lows, highs, block, positions, positions, place) >= best:
            continue
        begin = starts[fragment] + (block - first_block[fragment]) * BLOCK
        for other in range(begin, min(begin + BLOCK, starts[fragment + 1])):
            squared = _squared(positions, place, other)
            if squared < best:
                best, found = squared, other
    return found, best


@compiled
def _squared(positions: np.ndarray, one: int, other: int) -> float:
    x = positions[one, 0] - positions[other, 0]
    y = positions[one, 1] - positions[other, 1]
    z = positions[one, 2] - positions[other, 2]
    return x * x + y * y + z * z
