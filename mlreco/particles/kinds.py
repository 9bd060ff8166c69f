"""What a particle of a semantic class is treated as."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from mlreco.semantics import ClassScheme


class Kind(IntEnum):
    """How a particle is measured: along its line, or as a shower; and what it may belong to."""

    OTHER = 0
    TRACK = 1
    SHOWER = 2
    MICHEL = 3
    DELTA = 4


_BY_CLASS = {
    "HIP": Kind.TRACK,
    "MIP": Kind.TRACK,
    "Track": Kind.TRACK,
    "Shower": Kind.SHOWER,
    "Michel": Kind.MICHEL,
    "Delta": Kind.DELTA,
}


def kinds_of(semantics: np.ndarray, scheme: ClassScheme) -> np.ndarray:
    """Return the kind of each particle, (K,) int8; low-energy scatters and unknown classes are ``OTHER``.

    Args:
        semantics: (K,) class numbers.
        scheme: their numbering.
    """
    by_number = np.array([*(_BY_CLASS.get(name, Kind.OTHER) for name in scheme.classes), Kind.OTHER], np.int8)
    known = (semantics >= 0) & (semantics < len(scheme))
    return by_number[np.where(known, semantics, len(scheme))]


def most_common(values: np.ndarray, owners: np.ndarray, count: int) -> np.ndarray:
    """Return the most common value of each of ``count`` groups, the lowest of equally common ones; -1 for empty ones.

    Args:
        values: (N,) integers.
        owners: (N,) number of the group of each.
        count: number of groups.
    """
    if not len(values):
        return np.full(count, -1, np.int64)
    order = np.lexsort((values, owners))
    values, owners = values[order].astype(np.int64), owners[order]
    first = np.flatnonzero(np.append(True, (values[1:] != values[:-1]) | (owners[1:] != owners[:-1])))
    votes = np.diff(np.append(first, len(values)))
    best = np.lexsort((values[first], -votes, owners[first]))
    groups, place = np.unique(owners[first][best], return_index=True)
    result = np.full(count, -1, np.int64)
    result[groups] = values[first][best][place]
    return result
