"""Particles grouped to interactions: which belong together, where they come from, which one another came out of."""

from __future__ import annotations

from dataclasses import dataclass

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
from mlreco.particles.vertices import ALONG, SECONDARY, Attachments, attach_showers, crossing_pairs, nearest_points

SMALL_ENERGY = 10.0
"""A lone shower below this energy, MeV, is debris of the interaction that is near it."""

SMALL_VOXELS = 3
"""A lone track of at most so many voxels is debris."""

DEBRIS_REACH = 60.0
"""Debris belongs to the interaction of the nearest particle up to this distance, cm."""

MOST_VOTE = 5.0
"""The most that one shower says for the junction to which it points being the vertex, in log odds."""


@dataclass(frozen=True)
class Relations:
    """How the K particles of an event belong together.

    Attributes:
        interaction: (K,) int64 number of the interaction, from 0 without gaps.
        primary: (K,) bool: it comes from the vertex.
        parent: (K,) int64 place of the particle it came out of; -1 for primaries and where that is not known.
        backward: (K,) bool: it moves from the second end of its path to the first (of a shower: in the second sense).
        odds: (K,) float64 log odds of that sense; NaN where nothing tells.
        vertices: (I, 3) float64 vertex of each interaction, cm; NaN where it cannot be known.
        spreads: (I,) float64 uncertainty of the vertex in each axis, cm; NaN where one particle alone tells it.
    """

    interaction: np.ndarray
    primary: np.ndarray
    parent: np.ndarray
    backward: np.ndarray
    odds: np.ndarray
    vertices: np.ndarray
    spreads: np.ndarray


def find_interactions(
    kinds: np.ndarray,
    sizes: np.ndarray,
    energies: np.ndarray,
    trajectories: Trajectories,
    sense: np.ndarray,
    showers: ShowerStarts,
    shower_errors: np.ndarray,
    proximity: Proximity,
    positions: np.ndarray,
) -> Relations:
    """Group the particles of an event by geometry.

    Args:
        kinds: (K,) `Kind` of each.
        sizes: (K,) number of voxels.
        energies: (K,) MeV.
        trajectories: their paths.
        sense: (K,) log odds from dE/dx that a track moves from its first end to its second.
        showers: starts of showers in both senses.
        shower_errors: (K,) uncertainty of their directions, rad.
        proximity: their closest approaches.
        positions: (N, 3) their voxels, cm.
    """
    tracks = kinds == Kind.TRACK
    contacts = find_contacts(proximity, trajectories, tracks, positions)
    stopped, end = michel_parents(contacts, kinds == Kind.MICHEL)
    stops = np.zeros((len(kinds), 2), bool)
    stops[stopped[stopped >= 0], end[stopped >= 0]] = True
    electromagnetic = np.flatnonzero(kinds == Kind.SHOWER)
    junctions = find_junctions(contacts, trajectories.lengths, tracks, sense, stops)
    points = _meeting_points(junctions, trajectories, tracks)
    pointing = _attach(showers, shower_errors, electromagnetic, points.positions, np.ones(len(points.positions)))
    votes = np.zeros(2 * len(kinds))
    chosen = pointing.point >= 0
    np.add.at(votes, points.junctions[pointing.point[chosen]], np.minimum(np.log(pointing.odds[chosen]), MOST_VOTE))
    junctions = find_junctions(contacts, trajectories.lengths, tracks, sense, stops, votes)
    parent = np.where(tracks, junctions.parent, -1)
    parent = np.maximum(parent, np.maximum(stopped, delta_parents(contacts, kinds == Kind.DELTA)))
    group = np.where(parent >= 0, junctions.group[parent], junctions.group)
    backward, odds = junctions.backward.copy(), np.where(tracks, junctions.odds, np.nan)
    _start_at_parents(backward, odds, parent, kinds, contacts, trajectories)

    points = _meeting_points(junctions, trajectories, tracks)
    prior = np.where(points.arriving < 0, 1.0, SECONDARY)
    attached = _attach(showers, shower_errors, electromagnetic, points.positions, prior)
    group[electromagnetic] = np.append(points.groups, -1)[attached.point]
    parent[electromagnetic] = np.append(points.arriving, -1)[attached.point]
    backward[electromagnetic] = attached.sense == 1
    odds[electromagnetic] = _sense_odds(attached, showers.sense[electromagnetic])
    count = len(junctions.vertex)
    count = _pair_showers(group, backward, odds, electromagnetic, energies, showers, shower_errors, count)
    small = (group < 0) & np.where(tracks, sizes <= SMALL_VOXELS, ~(energies >= SMALL_ENERGY))
    lone_track = tracks & (sizes <= SMALL_VOXELS) & (np.bincount(group[group >= 0], minlength=count + 1)[group] == 1)
    debris = small | lone_track
    group[lone_track] = -1
    lone = np.flatnonzero((group < 0) & ~debris)
    group[lone] = count + np.arange(len(lone))
    primary = (group >= 0) & (parent < 0)
    _adopt_debris(group, debris, proximity)
    lone = np.flatnonzero(group < 0)
    group[lone] = group.max(initial=-1) + 1 + np.arange(len(lone))
    _, interaction = np.unique(group, return_inverse=True)
    vertices, spreads = _vertices(interaction, primary, kinds, backward, trajectories, showers)
    return Relations(interaction, primary, parent, backward, odds, vertices, spreads)


def _start_at_parents(
    backward: np.ndarray,
    odds: np.ndarray,
    parent: np.ndarray,
    kinds: np.ndarray,
    contacts: Contacts,
    trajectories: Trajectories,
) -> None:
    """Let Michel and delta electrons start at the end of their line that is nearer to their parent."""
    children = np.flatnonzero((parent >= 0) & (kinds != Kind.TRACK))
    if not len(children):
        return
    keys = contacts.track * len(kinds) + contacts.other
    order = np.argsort(keys)
    rows = order[np.searchsorted(keys[order], parent[children] * len(kinds) + children)]
    meeting = contacts.position[rows]
    distances = np.linalg.norm(trajectories.ends[children] - meeting[:, None], axis=2)
    backward[children] = distances[:, 1] < distances[:, 0]
    odds[children] = np.abs(distances[:, 1] - distances[:, 0])


@dataclass(frozen=True)
class _Points:
    """Junctions at which showers may start.

    Attributes:
        junctions: (P,) int64 their numbers.
        positions: (P, 3) float64 mean of the ends that meet, cm.
        groups: (P,) int64 number of the group of tracks.
        arriving: (P,) int64 place of a track that ends there; -1 for the vertex of the group.
    """

    junctions: np.ndarray
    positions: np.ndarray
    groups: np.ndarray
    arriving: np.ndarray


def _attach(
    showers: ShowerStarts, errors: np.ndarray, chosen: np.ndarray, points: np.ndarray, priors: np.ndarray
) -> Attachments:
    return attach_showers(
        showers.positions[chosen], showers.directions[chosen], errors[chosen], showers.sense[chosen], points, priors
    )


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
    return _Points(ids, points, group, np.where(is_vertex, -1, arriving))


def _sense_odds(attached: Attachments, sense: np.ndarray) -> np.ndarray:
    return np.where(attached.point >= 0, np.log(np.maximum(attached.odds, 1.0)), np.abs(sense))


def _pair_showers(
    group: np.ndarray,
    backward: np.ndarray,
    odds: np.ndarray,
    electromagnetic: np.ndarray,
    energies: np.ndarray,
    showers: ShowerStarts,
    errors: np.ndarray,
    count: int,
) -> int:
    """Give showers whose lines meet behind their starts a group of their own; return the number of groups then."""
    lone = electromagnetic[(group[electromagnetic] < 0) & (energies[electromagnetic] >= SMALL_ENERGY)]
    odds_of_pairs, members, sides = crossing_pairs(
        showers.positions[lone], showers.directions[lone], errors[lone], showers.sense[lone]
    )
    for pair in np.argsort(-odds_of_pairs, kind="stable"):
        both = lone[members[pair]]
        if (group[both] >= 0).any():
            continue
        group[both], odds[both] = count, np.log(odds_of_pairs[pair])
        backward[both] = sides[pair] == 1
        count += 1
    return count


def _adopt_debris(group: np.ndarray, debris: np.ndarray, proximity: Proximity) -> None:
    """Give debris the group of the nearest particle, through other debris if need be."""
    near = proximity.distance <= DEBRIS_REACH
    for _ in range(8):
        waiting = np.flatnonzero(debris & (group < 0) & near)
        group[waiting] = group[proximity.nearest[waiting]]


def _vertices(
    interaction: np.ndarray,
    primary: np.ndarray,
    kinds: np.ndarray,
    backward: np.ndarray,
    trajectories: Trajectories,
    showers: ShowerStarts,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices of interactions from the starts of their primaries, and the uncertainties."""
    count = int(interaction.max(initial=-1)) + 1
    side = backward.astype(np.int64)
    rows = np.arange(len(kinds))
    is_track = kinds == Kind.TRACK
    starts = np.where(is_track[:, None], trajectories.ends[rows, side], showers.positions[rows, side])
    other = np.where(is_track[:, None], trajectories.ends[rows, 1 - side], np.nan)
    directions = np.where(is_track[:, None], other - starts, showers.directions[rows, side])
    length = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions / np.where(length > 0, length, np.nan)
    has_track = np.bincount(interaction, is_track & primary, count) > 0
    usable = primary & (is_track | ((kinds == Kind.SHOWER) & ~has_track[interaction])) & np.isfinite(starts).all(axis=1)
    along = np.where(is_track, ALONG, np.inf)
    points, spreads = nearest_points(starts[usable], directions[usable], along[usable], interaction[usable], count)
    members = np.bincount(interaction[usable], minlength=count)
    alone = usable & (members[interaction] == 1)
    points[interaction[alone]] = starts[alone]
    return points, np.where(members > 1, spreads, np.nan)
