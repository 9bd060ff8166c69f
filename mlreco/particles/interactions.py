"""Particles grouped to interactions: which belong together, which come from the vertex, out of which others came."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mlreco.particles.junctions import (
    Contacts,
    Junctions,
    delta_parents,
    find_contacts,
    find_junctions,
    michel_parents,
)
from mlreco.particles.kinds import Kind
from mlreco.particles.proximity import Proximity
from mlreco.particles.showers import ShowerStarts
from mlreco.particles.trajectory import Trajectories
from mlreco.particles.vertices import (
    SECONDARY,
    Attachments,
    StartingLines,
    attach_showers,
    crossing_pairs,
    nearest_points,
)

SMALL_ENERGY = 10.0
"""A lone shower below this energy, MeV, is debris of the interaction that is near it."""

SMALL_VOXELS = 3
"""A lone track of at most so many voxels is debris."""

DEBRIS_REACH = 60.0
"""Debris belongs to the interaction of the nearest particle up to this distance, cm."""

MOST_VOTE = 5.0
"""The most that one shower says for the junction to which it points being the vertex, in log odds."""


@dataclass(frozen=True)
class Measured:
    """What is known of K particles before they are related to others of their events; N voxels.

    Attributes:
        events: (K,) int64 event of each, ascending.
        kinds: (K,) `Kind` of each.
        sizes: (K,) number of voxels.
        energies: (K,) MeV.
        trajectories: their paths.
        sense: (K,) log odds from dE/dx that a track moves from its first end to its second.
        showers: starts of showers in both senses.
        shower_errors: (K,) uncertainty of their directions, rad.
        proximity: their closest approaches.
        positions: (N, 3) their voxels, cm.
        together: (K,) numbers, the same for particles that a stage has put in one interaction, not for those of two
            events; -1 for those that it has put in none; None where no stage does.
    """

    events: np.ndarray
    kinds: np.ndarray
    sizes: np.ndarray
    energies: np.ndarray
    trajectories: Trajectories
    sense: np.ndarray
    showers: ShowerStarts
    shower_errors: np.ndarray
    proximity: Proximity
    positions: np.ndarray
    together: np.ndarray | None = None

    @property
    def tracks(self) -> np.ndarray:
        """(K,) bool: which are tracks."""
        return self.kinds == Kind.TRACK

    @property
    def electromagnetic(self) -> np.ndarray:
        """(S,) int64 places of the showers."""
        return np.flatnonzero(self.kinds == Kind.SHOWER)

    @property
    def circles(self) -> np.ndarray:
        """(K,) int64, the same for particles that may be related: of an event and, where a stage tells, interaction."""
        if self.together is None:
            return self.events
        return np.where(self.together >= 0, self.together, -1 - self.events)


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


@dataclass
class _Found:
    """A `Grouping` as it comes to be known: (K,) group, -1 for none yet; parent, sense and its odds as there."""

    group: np.ndarray
    parent: np.ndarray
    backward: np.ndarray
    odds: np.ndarray
    count: int


def find_interactions(event: Measured) -> Grouping:
    """Group the particles of events: as a stage has done, where one has, else by geometry.

    Geometry tells in any case where they start, which come from the vertex, and out of which they came; Michel and
    delta electrons are in the interaction of their track.
    """
    contacts = _contacts(event)
    junctions, stopped = _junctions(event, contacts)
    parent = np.where(event.tracks, junctions.parent, -1)
    parent = np.maximum(parent, np.maximum(stopped, delta_parents(contacts, event.kinds == Kind.DELTA)))
    group = np.where(parent >= 0, junctions.group[parent], junctions.group)
    odds = np.where(event.tracks, junctions.odds, np.nan)
    found = _Found(group, parent, junctions.backward.copy(), odds, len(junctions.vertex))
    _start_at_parents(found, event, contacts)
    points = _meeting_points(junctions, event.trajectories, event.tracks)
    _attach_showers(found, event, points)
    _pair_showers(found, event)
    primary = _group_the_rest(found, event)
    interaction = _placed(found.group, event.events)
    if event.together is not None:
        together = np.where((found.parent >= 0) & ~event.tracks, event.together[found.parent], event.together)
        interaction, primary = _as_told(together, interaction, primary, event)
    meetings = _meetings_with_parents(found, event, junctions, points, contacts)
    return Grouping(interaction, primary, found.parent, found.backward, found.odds, meetings)


def place_vertices(grouping: Grouping, kinds: np.ndarray, events: np.ndarray, lines: StartingLines) -> Relations:
    """Return where the particles of each interaction come from.

    Args:
        grouping: of K particles.
        kinds: (K,) `Kind` of each.
        events: (K,) event of each, ascending.
        lines: along which they start, in the sense in which they move.
    """
    vertices, spreads, members = _vertices(grouping, kinds, lines)
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


def _placed(labels: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Return the place of each label, from 0, among all labels by event and number, (K,) int64."""
    return np.unique(events * (labels.max(initial=0) + 1) + labels, return_inverse=True)[1]


def _contacts(event: Measured) -> Contacts:
    """Return where tracks come near others; near other tracks, those of the same interaction."""
    contacts = find_contacts(event.proximity, event.trajectories, event.tracks, event.positions)
    if event.together is None:
        return contacts
    circles = event.circles
    keep = ~event.tracks[contacts.other] | (circles[contacts.track] == circles[contacts.other])
    return Contacts(*(getattr(contacts, field.name)[keep] for field in fields(Contacts)))


def _junctions(event: Measured, contacts: Contacts) -> tuple[Junctions, np.ndarray]:
    """Return the junctions, with the votes of showers for those to which they point, and the track of each Michel."""
    tracks, lengths = event.tracks, event.trajectories.lengths
    stopped, end = michel_parents(contacts, event.kinds == Kind.MICHEL)
    stops = np.zeros((len(tracks), 2), bool)
    stops[stopped[stopped >= 0], end[stopped >= 0]] = True
    junctions = find_junctions(contacts, lengths, tracks, event.sense, stops)
    points = _meeting_points(junctions, event.trajectories, tracks)
    pointing = _attach(event, points, np.ones(len(points.positions)))
    votes, chosen = np.zeros(2 * len(tracks)), pointing.point >= 0
    np.add.at(votes, points.junctions[pointing.point[chosen]], np.minimum(np.log(pointing.odds[chosen]), MOST_VOTE))
    return find_junctions(contacts, lengths, tracks, event.sense, stops, votes), stopped


def _start_at_parents(found: _Found, event: Measured, contacts: Contacts) -> None:
    """Let Michel and delta electrons start at the end of their line that is nearer to their parent."""
    children = np.flatnonzero((found.parent >= 0) & (event.kinds != Kind.TRACK))
    if not len(children):
        return
    meeting = contacts.position[_rows_of_children(contacts, found.parent, children)]
    distances = np.linalg.norm(event.trajectories.ends[children] - meeting[:, None], axis=2)
    found.backward[children] = distances[:, 1] < distances[:, 0]
    found.odds[children] = np.abs(distances[:, 1] - distances[:, 0])


def _rows_of_children(contacts: Contacts, parent: np.ndarray, children: np.ndarray) -> np.ndarray:
    """Return the contact of the parent of each child with it; there must be one."""
    keys = contacts.track * len(parent) + contacts.other
    order = np.argsort(keys)
    return order[np.searchsorted(keys[order], parent[children] * len(parent) + children)]


def _meetings_with_parents(
    found: _Found, event: Measured, junctions: Junctions, points: _Points, contacts: Contacts
) -> np.ndarray:
    """Return (K, 3) where tracks meet their parent: the mean of the ends there, or the line of its side."""
    origins = np.full((len(event.kinds), 3), np.nan)
    children = np.flatnonzero((found.parent >= 0) & event.tracks)
    if not len(children):
        return origins
    side = found.backward[children].astype(np.int64)
    place = np.searchsorted(points.junctions, junctions.of_end[children, side])
    origins[children] = points.positions[place]
    beside = points.counts[place] == 1
    children, side = children[beside], side[beside]
    rows = _rows_of_children(contacts, found.parent, children)
    ends, voxel = event.trajectories.ends, contacts.voxel[rows]
    away = ends[children, 1 - side] - ends[children, side]
    tangent = event.trajectories.tangents[voxel]
    away -= (away * tangent).sum(axis=1, keepdims=True) * tangent
    size = np.linalg.norm(away, axis=1, keepdims=True)
    towards = away / np.where(size > 0, size, np.inf)
    origins[children] = contacts.position[rows] - event.trajectories.aside[voxel][:, None] * towards
    return origins


@dataclass(frozen=True)
class _Points:
    """Junctions at which showers may start.

    Attributes:
        junctions: (P,) int64 their numbers.
        positions: (P, 3) float64 mean of the ends that meet, cm.
        counts: (P,) int64 how many these are.
        groups: (P,) int64 number of the group of tracks.
        arriving: (P,) int64 place of a track that ends there; -1 for the vertex of the group.
        track: (P,) int64 place of a track that has an end there.
    """

    junctions: np.ndarray
    positions: np.ndarray
    counts: np.ndarray
    groups: np.ndarray
    arriving: np.ndarray
    track: np.ndarray


def _attach(event: Measured, points: _Points, priors: np.ndarray) -> Attachments:
    """Return to which junction each shower points, of those in its interaction."""
    showers, chosen, circles = event.showers, event.electromagnetic, event.circles
    return attach_showers(
        showers.positions[chosen],
        showers.directions[chosen],
        event.shower_errors[chosen],
        showers.sense[chosen],
        circles[chosen],
        points.positions,
        priors,
        circles[points.track],
    )


def _attach_showers(found: _Found, event: Measured, points: _Points) -> None:
    """Let showers belong to the junction at which they point."""
    chosen = event.electromagnetic
    attached = _attach(event, points, np.where(points.arriving < 0, 1.0, SECONDARY))
    found.group[chosen] = np.append(points.groups, -1)[attached.point]
    found.parent[chosen] = np.append(points.arriving, -1)[attached.point]
    found.backward[chosen] = attached.sense == 1
    by_widening = np.abs(event.showers.sense[chosen])
    found.odds[chosen] = np.where(attached.point >= 0, np.log(np.maximum(attached.odds, 1.0)), by_widening)


def _meeting_points(junctions: Junctions, trajectories: Trajectories, tracks: np.ndarray) -> _Points:
    of_end = junctions.of_end[tracks].ravel()
    ids, number = np.unique(of_end, return_inverse=True)
    counts = np.bincount(number, minlength=len(ids))
    ends = trajectories.ends[tracks].reshape(-1, 3)
    points = np.stack([np.bincount(number, column, len(ids)) for column in ends.T], axis=1) / counts[:, None]
    place = np.repeat(np.flatnonzero(tracks), 2)
    group = np.full(len(ids), -1, np.int64)
    group[number] = junctions.group[place]
    is_vertex = np.isin(ids, junctions.vertex)
    final = np.tile([False, True], tracks.sum()) != junctions.backward[place]
    arriving = np.full(len(ids), -1, np.int64)
    arriving[number[final]] = place[final]
    track = np.full(len(ids), -1, np.int64)
    track[number] = place
    return _Points(ids, points, counts, group, np.where(is_vertex, -1, arriving), track)


def _pair_showers(found: _Found, event: Measured) -> None:
    """Give showers whose lines meet behind their starts a group of their own."""
    chosen, showers = event.electromagnetic, event.showers
    lone = chosen[(found.group[chosen] < 0) & (event.energies[chosen] >= SMALL_ENERGY)]
    odds, members, sides = crossing_pairs(
        showers.positions[lone],
        showers.directions[lone],
        event.shower_errors[lone],
        showers.sense[lone],
        event.circles[lone],
    )
    for pair in np.argsort(-odds, kind="stable"):
        both = lone[members[pair]]
        if (found.group[both] >= 0).any():
            continue
        found.group[both], found.odds[both] = found.count, np.log(odds[pair])
        found.backward[both] = sides[pair] == 1
        found.count += 1


def _group_the_rest(found: _Found, event: Measured) -> np.ndarray:
    """Give the rest a group: debris that of the nearest particle, others one of their own; return what is primary."""
    group, tracks = found.group, event.tracks
    small = (group < 0) & np.where(tracks, event.sizes <= SMALL_VOXELS, ~(event.energies >= SMALL_ENERGY))
    alone = np.bincount(group[group >= 0], minlength=found.count + 1)[group] == 1
    lone_track = tracks & (event.sizes <= SMALL_VOXELS) & alone
    debris = small | lone_track
    group[lone_track] = -1
    lone = np.flatnonzero((group < 0) & ~debris)
    group[lone] = found.count + np.arange(len(lone))
    primary = (group >= 0) & (found.parent < 0)
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


def _as_told(
    together: np.ndarray, group: np.ndarray, primary: np.ndarray, event: Measured
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interactions that a stage tells, and which particles are primary there.

    Of several groups of geometry in one interaction the one with most primaries, then most energy, has its vertex.
    """
    labels = np.where(together >= 0, together, together.max(initial=-1) + 1 + group)
    interaction = _placed(labels, event.events)
    primaries = np.bincount(group, primary)
    energy = np.bincount(group, np.nan_to_num(event.energies))
    order = np.lexsort((group, energy[group], primaries[group], interaction))
    last = np.append(np.flatnonzero(np.diff(interaction[order])), len(order) - 1)
    main = np.empty(len(last), np.int64)
    main[interaction[order[last]]] = group[order[last]]
    return interaction, primary & (group == main[interaction])


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
