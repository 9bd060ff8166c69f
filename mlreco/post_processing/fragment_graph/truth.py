"""The truth of fragments: the instance, the class and the interaction of most of their voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.semantics import UNKNOWN


@dataclass(frozen=True)
class FragmentTruth:
    """The truth of the F fragments of an event; UNKNOWN where no voxel has a label.

    Attributes:
        instances: (F,) int32 instance of most voxels, of equally many the lowest.
        semantics: (F,) int8 class of most voxels, of equally many the lowest.
        interactions: (F,) int32 interaction of most voxels of that instance; UNKNOWN without labels.
        purities: (F,) float32 share of the voxels that are of ``instances``.
        starts: (F,) int8 1 where a fragment holds the voxel of its instance that is nearest to where the particle
            left its first energy, 0 where it does not; UNKNOWN without ``first_steps``.
    """

    instances: np.ndarray
    semantics: np.ndarray
    interactions: np.ndarray
    purities: np.ndarray
    starts: np.ndarray


def fragment_truth(
    fragments: np.ndarray,
    instances: np.ndarray,
    semantics: np.ndarray,
    interactions: np.ndarray | None = None,
    coordinates: np.ndarray | None = None,
    first_steps: np.ndarray | None = None,
) -> FragmentTruth:
    """Return the truth of the fragments of an event.

    Args:
        fragments: (N,) integers from 0 without gaps, -1 for none.
        instances: (N,) integers, true instance of each voxel, -1 unknown.
        semantics: (N,) integers, true class of each voxel, -1 unknown.
        interactions: (N,) integers, true interaction of each voxel, -1 unknown.
        coordinates: (N, 3) voxel numbers; needed for ``starts``.
        first_steps: (P, 3) floats, where each particle left its first energy, in voxels; row i is that of instance i.
    """
    count = int(fragments.max(initial=-1)) + 1
    inside = fragments >= 0
    best, most = _most_common(fragments[inside], instances[inside], count)
    sizes = np.bincount(fragments[inside], minlength=count)
    classes, _ = _most_common(fragments[inside], semantics[inside], count)
    interaction = np.full(count, UNKNOWN)
    if interactions is not None:
        own = inside & (instances == np.where(inside, best[fragments] if count else UNKNOWN, UNKNOWN))
        interaction, _ = _most_common(fragments[own], interactions[own], count)
    starts = np.full(count, UNKNOWN)
    if first_steps is not None and coordinates is not None:
        starts = _starts(fragments, instances, coordinates, first_steps, count)
    return FragmentTruth(
        best.astype(np.int32),
        classes.astype(np.int8),
        interaction.astype(np.int32),
        (most / np.maximum(sizes, 1)).astype(np.float32),
        starts.astype(np.int8),
    )


def _most_common(fragments: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each fragment the most common label from 0, UNKNOWN if there is none, and how often it occurs."""
    known = labels >= 0
    pairs, occurrences = np.unique(
        np.stack([fragments[known], labels[known]]).astype(np.int64), axis=1, return_counts=True
    )
    order = np.lexsort((pairs[1], -occurrences, pairs[0]))
    fragment, first = np.unique(pairs[0][order], return_index=True)
    best, most = np.full(count, UNKNOWN, np.int64), np.zeros(count, np.int64)
    best[fragment], most[fragment] = pairs[1][order][first], occurrences[order][first]
    return best, most


def _starts(
    fragments: np.ndarray, instances: np.ndarray, coordinates: np.ndarray, first_steps: np.ndarray, count: int
) -> np.ndarray:
    """Return 1 for fragments with the voxel of an instance nearest to its first step (of equals the first row)."""
    told = (instances >= 0) & (instances < len(first_steps)) & (fragments >= 0)
    rows = np.flatnonzero(told)
    rows = rows[np.isfinite(first_steps[instances[rows]]).all(axis=1)]
    centres = coordinates[rows] + 0.5
    distance = np.square(centres - first_steps[instances[rows]]).sum(axis=1)
    order = np.lexsort((distance, instances[rows]))
    _, first = np.unique(instances[rows][order], return_index=True)
    starts = np.zeros(count, np.int64) if len(rows) else np.full(count, UNKNOWN)
    starts[fragments[rows[order[first]]]] = 1
    return starts
