"""The nearest voxels of two fragments."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.blocks import BLOCK, SUPER, Boxes, FragmentVoxels, box_gap

_STEPS = 2
"""Iterations of the search for a first guess; more iterations only make it better."""


def closest_approach(voxels: FragmentVoxels, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest voxels of pairs of fragments, exactly.

    A first guess is found by going back and forth between the fragments; then only blocks are compared whose boxes are
    nearer than the best pair so far. Which of equally near pairs is found depends on the two fragments alone.

    Args:
        voxels: the fragments.
        pairs: (E, 2) integers, numbers of two fragments.

    Returns:
        (E, 2) int64 places of the two voxels, and (E,) float64 their distances.
    """
    return _approach(voxels.positions, voxels.starts, voxels.boxes, np.ascontiguousarray(pairs, np.int64))


@compiled
def _approach(
    positions: np.ndarray, starts: np.ndarray, boxes: Boxes, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    places = np.empty((len(pairs), 2), np.int64)
    distances = np.empty(len(pairs))
    first_super, super_lows, super_highs = boxes.first_super, boxes.super_lows, boxes.super_highs
    for number in range(len(pairs)):
        one, other = pairs[number]
        swapped = starts[one + 1] - starts[one] < starts[other + 1] - starts[other]
        if swapped:
            one, other = other, one
        second = starts[other]
        first, best = nearest_voxel(positions, starts, boxes, one, second, np.inf, -1)
        size = starts[other + 1] - starts[other]
        if size <= BLOCK:
            for place in range(second + 1, starts[other + 1]):
                found, squared = nearest_voxel(positions, starts, boxes, one, place, best, -1)
                if found >= 0:
                    first, second, best = found, place, squared
        else:
            for _ in range(_STEPS):
                before = second
                second, best = nearest_voxel(positions, starts, boxes, other, first, just_above(best), -1)
                if second == before:
                    break
                first, best = nearest_voxel(positions, starts, boxes, one, second, just_above(best), -1)
            for above in range(first_super[one], first_super[one + 1]):
                for other_above in range(first_super[other], first_super[other + 1]):
                    if box_gap(super_lows, super_highs, above, super_lows, super_highs, other_above) < best:
                        first, second, best = _below(
                            positions, starts, boxes, one, other, above, other_above, first, second, best
                        )
        places[number, 0], places[number, 1] = (second, first) if swapped else (first, second)
        distances[number] = np.sqrt(best)
    return places, distances


@compiled
def _below(
    positions: np.ndarray,
    starts: np.ndarray,
    boxes: Boxes,
    one: int,
    other: int,
    above: int,
    other_above: int,
    first: int,
    second: int,
    best: float,
) -> tuple[int, int, float]:
    """Return the nearest pair of voxels below two upper boxes, or the one that is known where none is nearer."""
    first_block, lows, highs, first_super, super_lows, super_highs = boxes
    begin = first_block[one] + (above - first_super[one]) * SUPER
    end = min(begin + SUPER, first_block[one + 1])
    other_begin = first_block[other] + (other_above - first_super[other]) * SUPER
    other_end = min(other_begin + SUPER, first_block[other + 1])
    for block in range(begin, end):
        if box_gap(lows, highs, block, super_lows, super_highs, other_above) >= best:
            continue
        for other_block in range(other_begin, other_end):
            if box_gap(lows, highs, block, lows, highs, other_block) >= best:
                continue
            place = starts[one] + (block - first_block[one]) * BLOCK
            other_place = starts[other] + (other_block - first_block[other]) * BLOCK
            for i in range(place, min(place + BLOCK, starts[one + 1])):
                for j in range(other_place, min(other_place + BLOCK, starts[other + 1])):
                    squared = _squared(positions, i, j)
                    if squared < best:
                        best, first, second = squared, i, j
    return first, second, best


@compiled
def just_above(squared: float) -> float:
    """Return a limit slightly above a squared distance, so that a pair at exactly this distance is found again."""
    return squared * (1.0 + 1e-12) + 1e-12


@compiled
def nearest_voxel(
    positions: np.ndarray, starts: np.ndarray, boxes: Boxes, fragment: int, place: int, best: float, found: int
) -> tuple[int, float]:
    """Return the voxel of a fragment that is nearest to a voxel, the first of equally near ones, and how far it is.

    Where none is nearer than ``best``, these are ``found`` and ``best``.
    """
    first_block, lows, highs, first_super, super_lows, super_highs = boxes
    for above in range(first_super[fragment], first_super[fragment + 1]):
        if box_gap(super_lows, super_highs, above, positions, positions, place) >= best:
            continue
        begin = first_block[fragment] + (above - first_super[fragment]) * SUPER
        for block in range(begin, min(begin + SUPER, first_block[fragment + 1])):
            if box_gap(lows, highs, block, positions, positions, place) >= best:
                continue
            start = starts[fragment] + (block - first_block[fragment]) * BLOCK
            for other in range(start, min(start + BLOCK, starts[fragment + 1])):
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
