"""Where the particles of interactions come from: their vertices."""

from __future__ import annotations

import numpy as np

from mlreco.particles.interactions.relations import Grouping, Relations
from mlreco.particles.kinds import Kind
from mlreco.particles.vertices import StartingLines, nearest_points

MISTAKEN = 1.1
"""Uncertainty of vertices of particles that a network made over that of true ones: some hold the first voxels of
others, or come from elsewhere. Fitted to simulation: 1.04 in thin and 1.15 in fat images."""


def place_vertices(
    grouping: Grouping, kinds: np.ndarray, events: np.ndarray, lines: StartingLines, assigned: np.ndarray
) -> Relations:
    """Return where the particles of each interaction come from.

    Args:
        grouping: of K particles.
        kinds: (K,) `Kind` of each.
        events: (K,) event of each, ascending.
        lines: along which they start, in the sense in which they move.
        assigned: (K,) bool: a network has told which voxels are theirs.
    """
    vertices, spreads, members = _vertices(grouping, kinds, lines)
    spreads *= np.where(np.bincount(grouping.interaction, assigned, len(spreads)) > 0, MISTAKEN, 1.0)
    origins, interaction = grouping.meetings.copy(), grouping.interaction
    told = grouping.primary & (members[interaction] > 1)
    origins[told] = vertices[interaction[told]]
    event_of = np.empty(len(vertices), np.int64)
    event_of[interaction] = events
    return Relations(
        interaction,
        grouping.primary,
        grouping.parent,
        grouping.backward,
        grouping.odds,
        grouping.meetings,
        origins,
        vertices,
        spreads,
        event_of,
    )


def _vertices(grouping: Grouping, kinds: np.ndarray, lines: StartingLines) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the vertices of interactions from the starts of their primaries, the uncertainties, and how many tell.

    Showers tell where no track does.
    """
    interaction, primary = grouping.interaction, grouping.primary
    count, is_track = int(interaction.max(initial=-1)) + 1, kinds == Kind.TRACK
    has_track = np.bincount(interaction, is_track & primary, count) > 0
    usable = primary & (is_track | ((kinds == Kind.SHOWER) & ~has_track[interaction]))
    usable &= np.isfinite(lines.points).all(axis=1)
    points, spreads = nearest_points(lines[usable], interaction[usable], count)
    members = np.bincount(interaction[usable], minlength=count)
    alone = usable & (members[interaction] == 1)
    points[interaction[alone]] = lines.points[alone]
    return points, np.where(members > 1, spreads, np.nan), members
