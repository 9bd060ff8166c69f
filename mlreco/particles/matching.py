"""Reconstructed particles beside the true ones: which overlap, and how well."""

from __future__ import annotations

import numpy as np

MATCH = np.dtype([("particle", "<i4"), ("match", "<i4"), ("purity", "<f4"), ("efficiency", "<f4"), ("iou", "<f4")])
"""A particle, the one on the other side that shares most voxels with it (-1 for none), and of these two: purity, the
part of the reconstructed particle's voxels that are shared; efficiency, that of the true one's; intersection over
union. Without a match they are 0."""


def match_particles(
    instances: np.ndarray, true_instances: np.ndarray, numbers: np.ndarray, true_numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Match the particles of an event with true ones, each with the one that it overlaps most.

    Of several that overlap equally, the one of the lower number is taken. Voxels without a particle on one side count
    for the size of the other side's.

    Args:
        instances: (N,) number of the reconstructed particle of each voxel, -1 for none.
        true_instances: (N,) number of the true particle, -1 for none.
        numbers: (K,) numbers of the reconstructed particles, without repetition.
        true_numbers: (T,) numbers of the true ones; there may be some without voxels.

    Returns:
        (K,) and (T,) structured arrays ``MATCH``, in the order of the numbers given.
    """
    instances, true_instances = np.asarray(instances, np.int64), np.asarray(true_instances, np.int64)
    shared = (instances >= 0) & (true_instances >= 0)
    both = np.stack([instances[shared], true_instances[shared]], axis=1)
    pairs, overlap = np.unique(both, axis=0, return_counts=True)
    size, true_size = _sizes(instances, pairs[:, 0]), _sizes(true_instances, pairs[:, 1])
    columns = {
        "purity": overlap / size,
        "efficiency": overlap / true_size,
        "iou": overlap / (size + true_size - overlap),
    }
    found = _best(numbers, pairs, overlap, columns)
    return found, _best(true_numbers, pairs[:, ::-1], overlap, columns)


def _sizes(instances: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return how many voxels each wanted particle has."""
    numbers, counts = np.unique(instances, return_counts=True)
    return counts[np.searchsorted(numbers, wanted)]


def _best(numbers: np.ndarray, pairs: np.ndarray, overlap: np.ndarray, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return for each number the row of the pair of greatest overlap whose first is that number."""
    rows = np.zeros(len(numbers), MATCH)
    rows["particle"], rows["match"] = numbers, -1
    order = np.lexsort((pairs[:, 1], -overlap, pairs[:, 0]))
    firsts, place = np.unique(pairs[order, 0], return_index=True)
    if not len(firsts):
        return rows
    position = np.searchsorted(firsts, numbers).clip(max=len(firsts) - 1)
    known = firsts[position] == numbers
    best = order[place[position[known]]]
    rows["match"][known] = pairs[best, 1]
    for name, values in columns.items():
        rows[name][known] = values[best]
    return rows
