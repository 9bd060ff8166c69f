"""How particles belong together, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grouping:
    """How K particles belong together.

    Attributes:
        interaction: (K,) int64 place of the interaction, those of the first event first.
        primary: (K,) bool: it comes from the vertex.
        parent: (K,) int64 place of the particle it came out of; -1 for primaries and where that is not known.
        backward: (K,) bool: it moves from the second end of its path to the first (of a shower: in the second sense).
        odds: (K,) float64 log odds of that sense; NaN where nothing tells.
        meetings: (K, 3) float64 where tracks meet their parent, cm; NaN for those without.
    """

    interaction: np.ndarray
    primary: np.ndarray
    parent: np.ndarray
    backward: np.ndarray
    odds: np.ndarray
    meetings: np.ndarray


@dataclass(frozen=True)
class Relations(Grouping):
    """The same, and where they come from.

    Attributes:
        origins: (K, 3) float64 where tracks come from, cm: the vertex, or where they meet their parent; NaN where
            nothing but the track itself tells.
        vertices: (I, 3) float64 vertex of each interaction, cm; NaN where it cannot be known.
        spreads: (I,) float64 uncertainty of the vertex in each axis, cm; NaN where one particle alone tells it.
        events: (I,) int64 event of each interaction, ascending.
    """

    origins: np.ndarray
    vertices: np.ndarray
    spreads: np.ndarray
    events: np.ndarray

    @property
    def numbers(self) -> np.ndarray:
        """(I,) int64 number of each interaction in its event, from 0 without gaps."""
        return np.arange(len(self.events)) - np.searchsorted(self.events, self.events)
