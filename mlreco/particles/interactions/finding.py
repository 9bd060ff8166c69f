"""Which particles belong together, which come from the vertex, out of which others came."""

from __future__ import annotations

import numpy as np

from mlreco.particles.interactions.children import meetings_with_parents, start_at_parents
from mlreco.particles.interactions.debris import group_the_rest
from mlreco.particles.interactions.draft import Draft
from mlreco.particles.interactions.junction_points import junction_points
from mlreco.particles.interactions.measured import Measured
from mlreco.particles.interactions.numbering import as_told, placed
from mlreco.particles.interactions.pairs import pair_showers
from mlreco.particles.interactions.pointing import join_pointing_showers
from mlreco.particles.interactions.relations import Grouping
from mlreco.particles.interactions.voted_junctions import contacts_of, voted_junctions
from mlreco.particles.junctions import delta_parents
from mlreco.particles.kinds import Kind


def find_interactions(event: Measured) -> Grouping:
    """Group the particles of events: as a stage has done, where one has, else by geometry.

    Geometry tells in any case where they start, which come from the vertex, and out of which they came; Michel and
    delta electrons are in the interaction of their track.
    """
    contacts = contacts_of(event)
    junctions, stopped = voted_junctions(event, contacts)
    parent = np.where(event.tracks, junctions.parent, -1)
    parent = np.maximum(parent, np.maximum(stopped, delta_parents(contacts, event.kinds == Kind.DELTA)))
    group = np.where(parent >= 0, junctions.group[parent], junctions.group)
    odds = np.where(event.tracks, junctions.odds, np.nan)
    draft = Draft(group, parent, junctions.backward.copy(), odds, len(junctions.vertex))
    start_at_parents(draft, event, contacts)
    points = junction_points(junctions, event.trajectories, event.tracks)
    join_pointing_showers(draft, event, points)
    pair_showers(draft, event)
    primary = group_the_rest(draft, event)
    interaction = placed(draft.group, event.events)
    if event.together is not None:
        together = np.where((draft.parent >= 0) & ~event.tracks, event.together[draft.parent], event.together)
        interaction, primary = as_told(together, interaction, primary, event)
    meetings = meetings_with_parents(draft, event, junctions, points, contacts)
    return Grouping(interaction, primary, draft.parent, draft.backward, draft.odds, meetings)
