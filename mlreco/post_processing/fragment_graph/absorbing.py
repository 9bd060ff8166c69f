"""Voxels of the smallest fragments join a fragment that they touch."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.errors import UserError
from mlreco.post_processing.fragment_graph.linked_voxels import voxel_numbers


def absorb_small(
    coordinates: np.ndarray,
    embeddings: np.ndarray,
    labels: np.ndarray,
    smallest: float,
    farthest: float,
    events: np.ndarray,
) -> np.ndarray:
    """Return labels in which voxels of fragments with fewer than ``smallest`` voxels have joined larger ones.

    Each goes to the fragment of the voxel that is nearest in the embedding, of those of large enough fragments among
    its 26 neighbours; of equally near ones to that with the least x, y, z. Others, and those with nothing near enough
    in the embedding, stay as they are.

    Args:
        coordinates: (N, 3) integers, voxels of one class; no voxel of an event twice.
        embeddings: (N, D) floats.
        labels: (N,) integers from 0, fragment of each voxel.
        smallest: voxels of the smallest fragments that absorb others, and are not absorbed.
        farthest: distance in the embedding up to which a voxel is absorbed.
        events: (N,) integers from 0, event of each voxel.

    Returns:
        (N,) int64; numbers of absorbed fragments do not occur.

    Raises:
        UserError: an image of 2^62 voxels and more, also without its empty layers.
    """
    labels = labels.astype(np.int64)
    large = np.bincount(labels)[labels] >= smallest
    if large.all() or not large.any():
        return labels
    numbers = voxel_numbers(coordinates, events, 1)
    if numbers is None:
        raise UserError("the coordinates of voxels are too far apart to number the voxels between them")
    keys, (plane, line) = numbers
    order = np.argsort(keys, kind="stable")
    lines = np.array([x * plane + y * line for x in (-1, 0, 1) for y in (-1, 0, 1)])
    values = np.ascontiguousarray(embeddings[order], np.float64)
    target = _nearest_touching(keys[order], values, large[order], lines, farthest)
    joined = np.flatnonzero(target >= 0)
    found = labels.copy()
    found[order[joined]] = labels[order[target[joined]]]
    return found


@compiled
def _nearest_touching(
    keys: np.ndarray, embeddings: np.ndarray, large: np.ndarray, lines: np.ndarray, farthest: float
) -> np.ndarray:
    """Return (N,) int64 the row of the large neighbour nearest in the embedding, -1 for none and for large rows.

    Args:
        keys: (N,) int64 numbers of voxels, ascending.
        embeddings: (N, D) float64.
        large: (N,) bool.
        lines: (9,) int64 ascending, from the number of a voxel to those in the middle of three neighbours.
        farthest: distance in the embedding that is still near.
    """
    target = np.full(len(keys), -1, np.int64)
    for row in range(len(keys)):
        if large[row]:
            continue
        best = np.inf
        for line in lines:
            other = np.searchsorted(keys, keys[row] + line - 1)
            while other < len(keys) and keys[other] <= keys[row] + line + 1:
                squared = 0.0
                for k in range(embeddings.shape[1]):
                    squared += (embeddings[row, k] - embeddings[other, k]) ** 2
                if large[other] and squared < best and squared <= farthest * farthest:
                    best, target[row] = squared, other
                other += 1
    return target
