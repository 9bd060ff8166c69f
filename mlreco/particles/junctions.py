"""Where tracks meet, which way they move, and which meeting point is the vertex.

Ends of tracks that come near each other are one junction. A group of tracks that junctions connect has its vertex at
the junction from which moving outwards agrees best with what dE/dx says of the senses of its tracks, with the number of
ends that meet there, and with Michel electrons, at which tracks stop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.proximity import Proximity
from mlreco.particles.trajectory import Trajectories

REACH = 2.0
"""Tracks meet where they come this near, cm; their ends do if neither extends beyond by more."""

MICHEL_REACH = 3.0
"""A Michel electron begins within this distance of the end of its muon, cm."""

MICHEL_ODDS = 6.0
"""Log odds that a track ends where a Michel electron begins."""

BRANCH_ODDS = 2.0
"""Log odds that a track which ends on the side of another starts there."""

END_ODDS = 1.0
"""Log odds of a junction for each end in it beyond the first."""

MOST = 8.0
"""The most that dE/dx may say of one track, in log odds."""


@dataclass(frozen=True)
class Junctions:
    """Junctions of K particles, J of them.

    Attributes:
        of_end: (K, 2) int64 junction of both ends of each track; -1 for particles that are no tracks.
        backward: (K,) bool: the track moves from its second end to its first.
        odds: (K,) float64 log odds of that sense against the other.
        group: (K,) int64 number of the connected group of a track; -1 for other particles.
        vertex: (G,) int64 junction at which each group starts.
        parent: (K,) int64 place of the track at whose end or side a track starts; -1 at the vertex.
    """

    of_end: np.ndarray
    backward: np.ndarray
    odds: np.ndarray
    group: np.ndarray
    vertex: np.ndarray
    parent: np.ndarray


@dataclass(frozen=True)
class Contacts:
    """Where tracks come near other particles; T contacts.

    Attributes:
        track: (T,) int64 place of the track.
        other: (T,) int64 place of the other particle.
        gap: (T,) float64 distance, cm.
        end: (T,) int64 0 or 1: end of the track that is nearer along its path.
        from_end: (T,) float64 path length from that end, cm.
        position: (T, 3) float64 the voxel of the track, cm.
    """

    track: np.ndarray
    other: np.ndarray
    gap: np.ndarray
    end: np.ndarray
    from_end: np.ndarray
    position: np.ndarray


def find_contacts(
    proximity: Proximity, trajectories: Trajectories, tracks: np.ndarray, positions: np.ndarray
) -> Contacts:
    """Return the contacts of tracks, both ways round where two tracks come near each other.

    Args:
        proximity: pairs of K particles.
        trajectories: their paths.
        tracks: (K,) bool.
        positions: (N, 3) voxels, cm.
    """
    track = np.concatenate([proximity.pairs[:, 0], proximity.pairs[:, 1]])
    other = np.concatenate([proximity.pairs[:, 1], proximity.pairs[:, 0]])
    voxel = np.concatenate([proximity.voxels[:, 0], proximity.voxels[:, 1]])
    gap = np.concatenate([proximity.gaps, proximity.gaps])
    keep = tracks[track]
    track, other, voxel, gap = track[keep], other[keep], voxel[keep], gap[keep]
    length = trajectories.lengths[track]
    along = np.clip(trajectories.along[voxel], 0, length)
    end, from_end = (along > length / 2).astype(np.int64), np.minimum(along, length - along)
    return Contacts(track, other, gap, end, from_end, positions[voxel])


def michel_parents(contacts: Contacts, michels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the track of each Michel electron, the one whose end is nearest, and which end of it.

    Args:
        contacts: of K particles.
        michels: (K,) bool.

    Returns:
        (K,) int64 place of the track and (K,) int64 its end, -1 where no track ends within `MICHEL_REACH`.
    """
    distance = np.hypot(contacts.gap, contacts.from_end)
    return _best_partner(contacts, michels[contacts.other] & (distance <= MICHEL_REACH), distance, len(michels))


def delta_parents(contacts: Contacts, deltas: np.ndarray) -> np.ndarray:
    """Return the track nearest to each delta electron within `REACH`, (K,) int64; -1 for none.

    Args:
        contacts: of K particles.
        deltas: (K,) bool.
    """
    return _best_partner(contacts, deltas[contacts.other] & (contacts.gap <= REACH), contacts.gap, len(deltas))[0]


def _best_partner(
    contacts: Contacts, chosen: np.ndarray, distance: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    rows = np.flatnonzero(chosen)
    rows = rows[np.lexsort((contacts.track[rows], distance[rows], contacts.other[rows]))]
    others, first = np.unique(contacts.other[rows], return_index=True)
    track, end = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    track[others], end[others] = contacts.track[rows[first]], contacts.end[rows[first]]
    return track, end


def find_junctions(
    contacts: Contacts,
    lengths: np.ndarray,
    tracks: np.ndarray,
    sense: np.ndarray,
    stops: np.ndarray,
    votes: np.ndarray | None = None,
) -> Junctions:
    """Return the junctions of tracks and how the tracks move.

    Args:
        contacts: of K particles.
        lengths: (K,) path lengths, cm.
        tracks: (K,) bool.
        sense: (K,) log odds that a track moves from its first end to its second, from dE/dx.
        stops: (K, 2) bool: a Michel electron begins at that end.
        votes: (2 K,) log odds of each junction from what else points to it.
    """
    evidence = np.where(tracks, np.clip(sense, -MOST, MOST), 0.0)
    evidence += MICHEL_ODDS * (stops[:, 1].astype(np.float64) - stops[:, 0])
    near = np.flatnonzero((contacts.gap <= REACH) & tracks[contacts.other])
    track, other = contacts.track[near], contacts.other[near]
    keys = track * len(tracks) + other
    order = np.argsort(keys)
    mates = order[np.searchsorted(keys[order], other * len(tracks) + track)] if len(near) else near
    return Junctions(
        *_orient(
            track,
            other,
            mates,
            contacts.end[near],
            contacts.from_end[near],
            np.asarray(tracks, np.bool_),
            evidence,
            np.minimum(REACH, 0.35 * lengths),
            np.zeros(2 * len(tracks)) if votes is None else votes,
        )
    )


@compiled
def _root(parents: np.ndarray, i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@compiled
def _walk(
    root: int, of_end: np.ndarray, tracks_at: np.ndarray, first: np.ndarray, branch_at: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move outwards from a junction; return the tracks in the order in which they are reached.

    ``seen`` is set to 1 for a track that starts at its first end, 2 for one that starts at its second. A branch starts
    at the side of another track: it is reached through that track.
    """
    order, start_of = np.empty(len(of_end), np.int64), np.empty(len(of_end), np.int64)
    came = np.full(len(of_end), -1, np.int64)
    queue, through = np.empty(2 * len(of_end) + 1, np.int64), np.empty(2 * len(of_end) + 1, np.int64)
    queue[0], through[0], head, tail, count = root, -1, 0, 1, 0
    while head < tail:
        node, by = queue[head], through[head]
        head += 1
        for j in range(first[node], first[node + 1]):
            track = tracks_at[j]
            if seen[track]:
                continue
            side = 0 if of_end[track, 0] == node else 1
            seen[track] = 1 + side
            came[track] = by
            order[count], start_of[count] = track, side
            count += 1
            queue[tail], through[tail] = of_end[track, 1 - side], track
            tail += 1
            for end_track in range(len(of_end)):
                for end in range(2):
                    if branch_at[end_track, end] == track and not seen[end_track]:
                        queue[tail], through[tail] = of_end[end_track, end], track
                        tail += 1
    return order[:count], start_of[:count], came


@compiled
def _orient(
    track: np.ndarray,
    other: np.ndarray,
    mates: np.ndarray,
    end: np.ndarray,
    from_end: np.ndarray,
    tracks: np.ndarray,
    evidence: np.ndarray,
    reach: np.ndarray,
    votes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n = len(tracks)
    parents = np.arange(2 * n)
    branch_at = np.full((n, 2), -1, np.int64)
    groups = np.arange(n)
    for c in range(len(track)):
        a, b, d = track[c], other[c], mates[c]
        if from_end[c] <= reach[a]:
            groups[_root(groups, b)] = _root(groups, a)
            if from_end[d] <= reach[b]:
                parents[_root(parents, 2 * b + end[d])] = _root(parents, 2 * a + end[c])
            else:
                branch_at[a, end[c]] = b
    of_end = np.full((n, 2), -1, np.int64)
    ends_of = np.zeros(2 * n, np.int64)
    for t in range(n):
        if tracks[t]:
            for side in range(2):
                of_end[t, side] = _root(parents, 2 * t + side)
                ends_of[of_end[t, side]] += 1
    first = np.zeros(2 * n + 1, np.int64)
    first[1:] = np.cumsum(ends_of)
    fill, tracks_at = first[:-1].copy(), np.empty(first[-1], np.int64)
    for t in range(n):
        if tracks[t]:
            for side in range(2):
                tracks_at[fill[of_end[t, side]]] = t
                fill[of_end[t, side]] += 1
    group, vertex = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    backward, odds, came_from = np.zeros(n, np.bool_), np.zeros(n), np.full(n, -1, np.int64)
    found = 0
    for t in range(n):
        if tracks[t] and _root(groups, t) == t:
            best, chosen = -np.inf, -1
            agree = np.full((n, 2), -np.inf)
            for node in range(2 * n):
                if ends_of[node] == 0 or _root(groups, node // 2) != t:
                    continue
                seen = np.zeros(n, np.int64)
                order, start_of, _ = _walk(node, of_end, tracks_at, first, branch_at, seen)
                score = END_ODDS * (ends_of[node] - 1) + votes[node]
                if branch_at[node // 2, node % 2] >= 0:
                    score -= BRANCH_ODDS
                for i in range(len(order)):
                    score += (0.5 - start_of[i]) * evidence[order[i]]
                for i in range(len(order)):
                    agree[order[i], start_of[i]] = max(agree[order[i], start_of[i]], score)
                missing = 0
                for other_track in range(n):
                    if tracks[other_track] and _root(groups, other_track) == t and not seen[other_track]:
                        missing += 1
                if score - MOST * missing > best:
                    best, chosen = score - MOST * missing, node
            seen = np.zeros(n, np.int64)
            order, start_of, came = _walk(chosen, of_end, tracks_at, first, branch_at, seen)
            for i in range(len(order)):
                a = order[i]
                backward[a], came_from[a] = start_of[i] == 1, came[a]
                odds[a] = min(MOST, agree[a, start_of[i]] - agree[a, 1 - start_of[i]])
            for a in range(n):
                if tracks[a] and _root(groups, a) == t:
                    group[a] = found
                    if not seen[a]:
                        backward[a], odds[a] = evidence[a] < 0, abs(evidence[a])
            vertex[found] = chosen
            found += 1
    return of_end, backward, odds, group, vertex[:found], came_from
