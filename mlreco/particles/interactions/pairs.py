"""Pairs of showers without a track at their vertex: photons of a neutral pion whose lines cross."""

from __future__ import annotations

import numpy as np

from mlreco.particles.interactions.debris import SMALL_ENERGY
from mlreco.particles.interactions.draft import Draft
from mlreco.particles.interactions.measured import Measured
from mlreco.particles.vertices import crossing_pairs


def pair_showers(draft: Draft, event: Measured) -> None:
    """Give showers whose lines meet behind their starts a group of their own."""
    chosen, showers = event.electromagnetic, event.showers
    lone = chosen[(draft.group[chosen] < 0) & (event.energies[chosen] >= SMALL_ENERGY)]
    odds, members, sides = crossing_pairs(
        showers.positions[lone],
        showers.directions[lone],
        event.shower_errors[lone],
        showers.sense[lone],
        event.circles[lone],
    )
    for pair in np.argsort(-odds, kind="stable"):
        both = lone[members[pair]]
        if (draft.group[both] >= 0).any():
            continue
        draft.group[both], draft.odds[both] = draft.count, np.log(odds[pair])
        draft.backward[both] = sides[pair] == 1
        draft.count += 1
