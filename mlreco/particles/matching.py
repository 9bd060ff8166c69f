"""Reconstructed particles beside the true ones: which overlap, and how well."""

from __future__ import annotations

import numpy as np

from mlreco.post_processing.contingency import contingency

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
    table = contingency(true_instances, instances)
    true, own = table.true_labels[table.true_index], table.predicted_labels[table.predicted_index]
    shared = (true >= 0) & (own >= 0)
    true, own, overlap = true[shared], own[shared], table.counts[shared]
    size = table.predicted_sizes[table.predicted_index[shared]]
    true_size = table.true_sizes[table.true_index[shared]]
    columns = {
        "purity": overlap / size,
        "efficiency": overlap / true_size,
        "iou": overlap / (size + true_size - overlap),
    }
    return _best(numbers, own, true, overlap, columns), _best(true_numbers, true, own, overlap, columns)


def _best(
    numbers: np.ndarray, own: np.ndarray, other: np.ndarray, overlap: np.ndarray, columns: dict[str, np.ndarray]
) -> np.ndarray:
    """Return for each number the pair of greatest overlap of which it is ``own``."""
    rows = np.zeros(len(numbers), MATCH)
    rows["particle"], rows["match"] = numbers, -1
    order = np.lexsort((other, -overlap, own))
    firsts, place = np.unique(own[order], return_index=True)
    if not len(firsts):
        return rows
    position = np.searchsorted(firsts, numbers).clip(max=len(firsts) - 1)
    known = firsts[position] == numbers
    best = order[place[position[known]]]
    rows["match"][known] = other[best]
    for name, values in columns.items():
        rows[name][known] = values[best]
    return rows
