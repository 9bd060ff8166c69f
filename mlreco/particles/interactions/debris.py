"""Particles that no junction and no direction relates to others: debris joins its neighbour, the rest stand alone."""

from __future__ import annotations

import numpy as np

from mlreco.particles.interactions.draft import Draft
from mlreco.particles.interactions.measured import Measured
from mlreco.particles.proximity import Proximity

SMALL_ENERGY = 10.0
"""A lone shower below this energy, MeV, is debris of the interaction that is near it."""

SMALL_VOXELS = 3
"""A lone track of at most so many voxels is debris."""

DEBRIS_REACH = 60.0
"""Debris belongs to the interaction of the nearest particle up to this distance, cm."""


def group_the_rest(draft: Draft, event: Measured) -> np.ndarray:
    """Give the rest a group: debris that of the nearest particle, others one of their own; return what is primary."""
    group, tracks = draft.group, event.tracks
    small = (group < 0) & np.where(tracks, event.sizes <= SMALL_VOXELS, ~(event.energies >= SMALL_ENERGY))
    alone = np.bincount(group[group >= 0], minlength=draft.count + 1)[group] == 1
    lone_track = tracks & (event.sizes <= SMALL_VOXELS) & alone
    debris = small | lone_track
    group[lone_track] = -1
    lone = np.flatnonzero((group < 0) & ~debris)
    group[lone] = draft.count + np.arange(len(lone))
    primary = (group >= 0) & (draft.parent < 0)
    _adopt_debris(group, debris, event.proximity)
    lone = np.flatnonzero(group < 0)
    group[lone] = group.max(initial=-1) + 1 + np.arange(len(lone))
    return primary


def _adopt_debris(group: np.ndarray, debris: np.ndarray, proximity: Proximity) -> None:
    """Give debris the group of the nearest particle, through other debris if need be."""
    near = proximity.distance <= DEBRIS_REACH
    for _ in range(8):
        waiting = np.flatnonzero(debris & (group < 0) & near)
        group[waiting] = group[proximity.nearest[waiting]]
