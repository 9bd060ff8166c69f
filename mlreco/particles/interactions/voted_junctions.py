"""Junctions of the tracks of events: Michel electrons tell at which end a track stops, showers vote for the vertex."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from mlreco.particles.interactions.junction_points import junction_points
from mlreco.particles.interactions.measured import Measured
from mlreco.particles.interactions.pointing import point_at
from mlreco.particles.junctions import Contacts, Junctions, find_contacts, find_junctions, michel_parents
from mlreco.particles.kinds import Kind

MOST_VOTE = 5.0
"""The most that one shower says for the junction to which it points being the vertex, in log odds."""


def contacts_of(event: Measured) -> Contacts:
    """Return where tracks come near others; near other tracks, those of the same interaction."""
    contacts = find_contacts(event.proximity, event.trajectories, event.tracks, event.positions)
    if event.together is None:
        return contacts
    circles = event.circles
    keep = ~event.tracks[contacts.other] | (circles[contacts.track] == circles[contacts.other])
    return Contacts(*(getattr(contacts, field.name)[keep] for field in fields(Contacts)))


def voted_junctions(event: Measured, contacts: Contacts) -> tuple[Junctions, np.ndarray]:
    """Return the junctions, with the votes of showers for those to which they point, and the track of each Michel."""
    tracks, lengths = event.tracks, event.trajectories.lengths
    stopped, end = michel_parents(contacts, event.kinds == Kind.MICHEL)
    stops = np.zeros((len(tracks), 2), bool)
    stops[stopped[stopped >= 0], end[stopped >= 0]] = True
    junctions = find_junctions(contacts, lengths, tracks, event.sense, stops)
    points = junction_points(junctions, event.trajectories, tracks)
    pointing = point_at(event, points, np.ones(len(points.positions)))
    votes, chosen = np.zeros(2 * len(tracks)), pointing.point >= 0
    np.add.at(votes, points.junctions[pointing.point[chosen]], np.minimum(np.log(pointing.odds[chosen]), MOST_VOTE))
    return find_junctions(contacts, lengths, tracks, event.sense, stops, votes), stopped
