"""The shape of a fragment near one of its voxels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.blocks import BLOCK, SUPER, Boxes, FragmentVoxels, box_gap
from mlreco.post_processing.fragment_graph.eigen import principal_axes
from mlreco.post_processing.fragment_graph.shapes import LEAST_ASYMMETRY

NEAR = 8.0
"""Distance, in voxels, up to which voxels of the same fragment are looked at."""


class Surroundings(NamedTuple):
    """The voxels of the same fragment within ``NEAR`` of some of its voxels.

    Attributes:
        number: (N,) int64 number of the row below for each place; -1 for voxels that were not asked for.
        offsets: (M, 3) float64 their mean position less that of the voxel: long at an end, short inside.
        axes: (M, 3) float64 unit vector along which they spread most, of either sign; 0 where there is none.
        energies: (M,) float64 their mean energy.
        counts: (M,) float64 how many they are, the voxel itself among them.
    """

    number: np.ndarray
    offsets: np.ndarray
    axes: np.ndarray
    energies: np.ndarray
    counts: np.ndarray


def surroundings(
    voxels: FragmentVoxels, energies: np.ndarray, fragment: np.ndarray, places: np.ndarray
) -> Surroundings:
    """Look around voxels.

    Args:
        voxels: the fragments.
        energies: (N,) float64 energy at each place.
        fragment: (N,) int64 fragment at each place.
        places: voxels around which to look, of any shape; each voxel is computed once, even where it is named several
            times.
    """
    number = np.full(len(voxels.positions), -1, np.int64)
    number[places.ravel()] = 0
    wanted = np.flatnonzero(number == 0)
    number[wanted] = np.arange(len(wanted))
    found = _around(
        voxels.positions,
        energies,
        voxels.starts,
        voxels.boxes,
        wanted,
        fragment[wanted],
    )
    return Surroundings(number, *found)


@compiled
def _around(
    positions: np.ndarray,
    energies: np.ndarray,
    starts: np.ndarray,
    boxes: Boxes,
    wanted: np.ndarray,
    fragment: np.ndarray,
) -> tuple:
    first_block, lows, highs, first_super, super_lows, super_highs = boxes
    offsets, axes = np.zeros((len(wanted), 3)), np.zeros((len(wanted), 3))
    mean_energies, counts = np.zeros(len(wanted)), np.zeros(len(wanted))
    matrix, values, vectors = np.empty((3, 3)), np.empty(3), np.empty((3, 3))
    step = np.empty(3)
    for number in range(len(wanted)):
        place, f = wanted[number], fragment[number]
        matrix[:] = 0.0
        for above in range(first_super[f], first_super[f + 1]):
            if box_gap(super_lows, super_highs, above, positions, positions, place) > NEAR * NEAR:
                continue
            first = first_block[f] + (above - first_super[f]) * SUPER
            for block in range(first, min(first + SUPER, first_block[f + 1])):
                if box_gap(lows, highs, block, positions, positions, place) > NEAR * NEAR:
                    continue
                begin = starts[f] + (block - first_block[f]) * BLOCK
                for other in range(begin, min(begin + BLOCK, starts[f + 1])):
                    squared = 0.0
                    for k in range(3):
                        step[k] = positions[other, k] - positions[place, k]
                        squared += step[k] * step[k]
                    if squared > NEAR * NEAR:
                        continue
                    counts[number] += 1.0
                    mean_energies[number] += energies[other]
                    for i in range(3):
                        offsets[number, i] += step[i]
                        for j in range(i + 1):
                            matrix[i, j] += step[i] * step[j]
        count = counts[number]
        mean_energies[number] /= count
        for i in range(3):
            offsets[number, i] /= count
        for i in range(3):
            for j in range(i + 1):
                matrix[i, j] = matrix[i, j] / count - offsets[number, i] * offsets[number, j]
                matrix[j, i] = matrix[i, j]
        principal_axes(matrix, values, vectors)
        if values[0] - values[1] > LEAST_ASYMMETRY * values[0]:
            axes[number] = vectors[0]
    return offsets, axes, mean_energies, counts
