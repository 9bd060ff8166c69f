"""The grouping of particles while it is made (`mlreco.particles.interactions.relations.Grouping` when it is done)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Draft:
    """What is known so far of how K particles belong together; each step of the grouping fills in more.

    Attributes:
        group: (K,) int64 number of the group; -1 for none yet.
        parent: (K,) int64 as in `Grouping`.
        backward: (K,) bool as in `Grouping`.
        odds: (K,) float64 as in `Grouping`.
        count: how many groups there are.
    """

    group: np.ndarray
    parent: np.ndarray
    backward: np.ndarray
    odds: np.ndarray
    count: int
