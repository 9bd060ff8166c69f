"""Entries of a leaf, read basket by basket and cached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_READ_AHEAD = 4 << 20
"""Bytes of a leaf (uncompressed) that are read at once when events are asked for one after the other."""


@contextmanager
def fast_inflation() -> Iterator[None]:
    """Let uproot decompress with ``isal``, which is faster than zlib.

    The library is an attribute of uproot's object for decompression; versions without this attribute keep zlib.
    """
    from uproot import compression

    inflater: Any = getattr(compression, "_decompress_ZLIB", None)
    before = getattr(inflater, "library", None)
    if before != "zlib":
        yield
        return
    inflater.library = "isal"
    try:
        yield
    finally:
        inflater.library = before


class Leaf:
    """Entries of one leaf by number; the baskets read last are kept.

    A basket is the smallest part of a ROOT file that can be read, and often holds hundreds of events: so the whole
    basket of an event is read, and with events in order several at once.

    Args:
        branch: the leaf, of an open file.
        interpretation: uproot's interpretation; the leaf's own if None.
    """

    def __init__(self, branch: Any, interpretation: Any = None) -> None:
        self._branch = branch
        self._interpretation = branch.interpretation if interpretation is None else interpretation
        self._baskets = np.asarray(branch.entry_offsets, dtype=np.int64)
        baskets = max(len(self._baskets) - 1, 1)
        self._ahead = max(1, _READ_AHEAD * baskets // max(int(branch.uncompressed_bytes), 1))
        self._entries = np.zeros(0)
        self._first = self._end = -1

    def __getitem__(self, index: int) -> Any:
        if not self._first <= index < self._end:
            self._read(index)
        return self._entries[index - self._first]

    def all(self) -> np.ndarray:
        """Read every entry, and keep none."""
        with fast_inflation():
            return self._branch.array(self._interpretation, library="np")

    def _read(self, index: int) -> None:
        basket = int(np.searchsorted(self._baskets, index, side="right")) - 1
        ahead = self._ahead if index == self._end else 1
        try:
            self._read_baskets(basket, min(basket + ahead, len(self._baskets) - 1))
        except Exception:
            if ahead == 1:
                raise
            self._read_baskets(basket, basket + 1)  # when several were read, another one may be damaged

    def _read_baskets(self, basket: int, last: int) -> None:
        """Read the baskets from the first to the one before the last number."""
        first, end = int(self._baskets[basket]), int(self._baskets[last])
        with fast_inflation():
            entries = self._branch.array(self._interpretation, entry_start=first, entry_stop=end, library="np")
        if len(entries) != end - first:
            raise ValueError(f"{len(entries)} entries where {end - first} should be")
        self._entries, self._first, self._end = entries, first, end
