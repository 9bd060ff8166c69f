"""Which instance a voxel belongs to when several sets hold it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlreco.errors import UserError
from mlreco.semantics import ClassScheme

PRECEDENCE = {
    "mlreco": ("Track", "Michel", "Shower", "Delta", "LowE"),
    "pilarnet": ("HIP", "MIP", "Michel", "Shower", "Delta"),
}
"""Class precedence of the field (track, Michel, shower, delta, low energy) in either scheme."""


def precedence_ranks(scheme: ClassScheme, precedence: Sequence[str | int] | None = None) -> np.ndarray:
    """Return the rank of each class number, (C + 1,) int64, 0 first; the last entry is that of class -1.

    Args:
        scheme: numbering of the classes.
        precedence: class names or numbers, all of them, in descending precedence; the field's by default.

    Raises:
        UserError: a class is unknown, missing or named twice.
    """
    chosen = PRECEDENCE.get(scheme.name, scheme.classes) if precedence is None else precedence
    numbers = [scheme.number(entry) if isinstance(entry, str) else int(entry) for entry in chosen]
    if sorted(numbers) != list(range(len(scheme))):
        raise UserError(f"precedence must hold each class once: {', '.join(scheme.classes)}")
    ranks = np.full(len(scheme) + 1, len(scheme), dtype=np.int64)
    ranks[numbers] = np.arange(len(scheme))
    return ranks


def set_classes(semantics: np.ndarray, sets: np.ndarray, num_sets: int, ranks: np.ndarray) -> np.ndarray:
    """Return the most frequent class of each set's voxels, -1 where all are unknown, (num_sets,) int64.

    Args:
        semantics: (M,) class of each member voxel; numbers outside the scheme count as unknown.
        sets: (M,) set of each member voxel.
        num_sets: number of sets.
        ranks: of ``precedence_ranks``; between equally frequent classes the lower rank is taken.
    """
    num_classes = len(ranks) - 1
    known = (semantics >= 0) & (semantics < num_classes)
    index = sets[known].astype(np.int64) * num_classes + semantics[known]
    counts = np.bincount(index, minlength=num_sets * num_classes).reshape(num_sets, num_classes)
    by_rank = np.argsort(ranks[:num_classes])
    classes = by_rank[np.argmax(counts[:, by_rank], axis=1)]
    return np.where(counts.any(axis=1), classes, -1)


def share_out(
    voxels: np.ndarray, sets: np.ndarray, values: np.ndarray, set_ranks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give every voxel to one set: the lowest rank, then the largest value, then the lowest number.

    Args:
        voxels: (M,) int64 voxel numbers; equal ones compete.
        sets: (M,) set of each.
        values: (M,) float32 deposit of the set in the voxel.
        set_ranks: (num_sets,) rank of each set.

    Returns:
        The distinct voxels in increasing order, the set of each, and that set's value there.
    """
    order = np.argsort(voxels, kind="stable")
    sorted_voxels = voxels[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = sorted_voxels[1:] != sorted_voxels[:-1]
    if not first.all():
        order = np.lexsort((sets, -values, set_ranks[sets], voxels))
    winners = order[first]
    return voxels[winners], sets[winners], values[winners]
