"""Ids in files: the numbers that mean "not set", and the exact values of the others.

LArCV writes the largest value of a type for an id that is not set. A column may have been widened since, so that the
largest values of the narrower types stand in it too. Those of 8 bits and of signed 16 bits are ids that occur; they
count only where they are the largest of the column's own type.
"""

from __future__ import annotations

from functools import cache

import numpy as np

UNSET = -1
"""Value of an id that is not set."""

SENTINELS = (2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
"""Largest values of the types that ids have, in columns of any width."""

EXACT_IN_FLOAT64 = 2**53
"""Integers up to this are exact in float64."""


def unset_ids(column: np.ndarray) -> np.ndarray:
    """Tell which ids of a column are not set: the sentinels, negative numbers, and what is no number.

    Args:
        column: (N,) integers or floats.

    Returns:
        (N,) bool.
    """
    unset = column < 0
    if column.dtype.kind == "f":
        unset |= ~np.isfinite(column)
    for top in _tops(column.dtype):  # on columns as short as those of particles many times as fast as np.isin
        unset |= column == top
    return unset


@cache
def _tops(kind: np.dtype) -> tuple[np.generic, ...]:
    """Return the numbers of a type that mean "not set"."""
    if kind.kind == "f":
        return tuple(np.array(SENTINELS, kind))
    largest = int(np.iinfo(kind).max)
    return tuple(np.array([top for top in {*SENTINELS, largest} if top <= largest], kind))


def known_ids(column: np.ndarray, name: str) -> np.ndarray:
    """Return ids exactly, those that are not set as ``UNSET``.

    Args:
        column: (N,) integers or floats.
        name: of the column, for the message.

    Returns:
        (N,) int64.

    Raises:
        ValueError: an id is larger than int64 or no whole number.
    """
    unset = unset_ids(column)
    kept = np.where(unset, column.dtype.type(0), column)
    if column.dtype.kind == "u" and len(kept) and int(kept.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"'{name}' holds the id {int(kept.max())}, which is larger than any id")
    if column.dtype.kind == "f" and not ((kept == np.floor(kept)) & (kept < 2.0**63)).all():
        raise ValueError(f"'{name}' holds ids that are no whole numbers")
    return np.where(unset, UNSET, kept.astype(np.int64))


def event_numbers(column: np.ndarray, name: str) -> np.ndarray:
    """Return run, subrun or event numbers, with ``UNSET`` for the largest unsigned number, which means "not set".

    Args:
        column: (N,) integers.
        name: of the column, for the message.

    Returns:
        (N,) int64.

    Raises:
        ValueError: a number is larger than int64.
    """
    if column.dtype != np.uint64:
        return column.astype(np.int64)
    unset = column == np.iinfo(np.uint64).max
    kept = np.where(unset, np.uint64(0), column)
    if len(kept) and int(kept.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"'{name}' holds {int(kept.max())}, which is larger than any number of an event")
    return np.where(unset, UNSET, kept.astype(np.int64))
