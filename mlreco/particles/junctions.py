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
from mlreco.post_processing.clustering.disjoint_sets import root as find_root

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
        voxel: (T,) int64 the voxel of the track.
        position: (T, 3) float64 where that is, cm.
    """

    track: np.ndarray
    other: np.ndarray
    gap: np.ndarray
    end: np.ndarray
    from_end: np.ndarray
    voxel: np.ndarray
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
    return Contacts(track, other, gap, end, from_end, voxel, positions[voxel])


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
def _connect(
    track: np.ndarray, other: np.ndarray, mates: np.ndarray, end: np.ndarray, from_end: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the junction of each end, (2 n,), a track of the group of each, (n,), and the track at whose side it ends.

    A junction has the number of one of its ends: twice that of the track, and 1 for the second end.
    """
    n = len(reach)
    junctions, groups = np.arange(2 * n), np.arange(n)
    branch_at = np.full((n, 2), -1, np.int64)
    for c in range(len(track)):
        a, b, mate = track[c], other[c], mates[c]
        if from_end[c] > reach[a]:
            continue
        groups[find_root(groups, b)] = find_root(groups, a)
        if from_end[mate] <= reach[b]:
            junctions[find_root(junctions, 2 * b + end[mate])] = find_root(junctions, 2 * a + end[c])
        else:
            branch_at[a, end[c]] = b
    for i in range(2 * n):
        junctions[i] = find_root(junctions, i)
    for i in range(n):
        groups[i] = find_root(groups, i)
    return junctions, groups, branch_at


@compiled
def _tracks_at(of_end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tracks of junction j, ``at[first[j]:first[j + 1]]``, from the junctions of both ends of each track."""
    n = len(of_end)
    first = np.zeros(2 * n + 1, np.int64)
    for t in range(n):
        for side in range(2):
            first[of_end[t, side] + 1] += 1
    first = np.cumsum(first)
    fill, at = first[:-1].copy(), np.empty(2 * n, np.int64)
    for t in range(n):
        for side in range(2):
            at[fill[of_end[t, side]]] = t
            fill[of_end[t, side]] += 1
    return first, at


@compiled
def _walk(
    root: int, of_end: np.ndarray, first: np.ndarray, at: np.ndarray, branch_at: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move outwards from a junction of a group of n tracks; return the tracks in the order in which they are reached.

    Also returns the end at which each of these starts, and for all tracks through which one they are reached. A branch
    starts at the side of another track: it is reached through that track.
    """
    n = len(of_end)
    order, start_of, came = np.empty(n, np.int64), np.empty(n, np.int64), np.full(n, -1, np.int64)
    seen = np.zeros(n, np.bool_)
    queue, through = np.empty(4 * n + 1, np.int64), np.empty(4 * n + 1, np.int64)
    queue[0], through[0], head, tail, count = root, -1, 0, 1, 0
    while head < tail:
        node, by = queue[head], through[head]
        head += 1
        for j in range(first[node], first[node + 1]):
            track = at[j]
            if seen[track]:
                continue
            side = 0 if of_end[track, 0] == node else 1
            seen[track], came[track] = True, by
            order[count], start_of[count] = track, side
            count += 1
            queue[tail], through[tail] = of_end[track, 1 - side], track
            tail += 1
            for other in range(n):
                for end in range(2):
                    if branch_at[other, end] == track and not seen[other]:
                        queue[tail], through[tail] = of_end[other, end], track
                        tail += 1
    return order[:count], start_of[:count], came


@compiled
def _best_vertex(
    of_end: np.ndarray,
    first: np.ndarray,
    at: np.ndarray,
    branch_at: np.ndarray,
    evidence: np.ndarray,
    votes: np.ndarray,
) -> tuple[int, np.ndarray]:
    """Return the junction at which a group of n tracks starts, and the best score of either sense of each, (n, 2)."""
    n, best, chosen = len(of_end), -np.inf, -1
    agree = np.full((n, 2), -np.inf)
    for node in range(2 * n):
        meeting = first[node + 1] - first[node]
        if meeting == 0:
            continue
        order, start_of, _ = _walk(node, of_end, first, at, branch_at)
        score = END_ODDS * (meeting - 1) + votes[node]
        if branch_at[node // 2, node % 2] >= 0:
            score -= BRANCH_ODDS
        for i in range(len(order)):
            score += (0.5 - start_of[i]) * evidence[order[i]]
        for i in range(len(order)):
            agree[order[i], start_of[i]] = max(agree[order[i], start_of[i]], score)
        score -= MOST * (n - len(order))
        if score > best:
            best, chosen = score, node
    return chosen, agree


@compiled
def _tracks_of_groups(groups: np.ndarray, tracks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the tracks of group g, ``members[first[g]:first[g + 1]]``, and the place of each track among them."""
    n = len(tracks)
    number, found = np.full(n, -1, np.int64), 0
    for t in range(n):
        if tracks[t] and groups[t] == t:
            number[t] = found
            found += 1
    first, place = np.zeros(found + 1, np.int64), np.full(n, -1, np.int64)
    for t in range(n):
        if tracks[t]:
            place[t] = first[number[groups[t]] + 1]
            first[number[groups[t]] + 1] += 1
    first = np.cumsum(first)
    members = np.empty(first[-1], np.int64)
    for t in range(n):
        if tracks[t]:
            members[first[number[groups[t]]] + place[t]] = t
    return first, members, place


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
    """Return the fields of `Junctions`; tracks that no walk from the vertex reaches move as their evidence says."""
    n = len(tracks)
    junctions, groups, branch_at = _connect(track, other, mates, end, from_end, reach)
    group_first, members, place = _tracks_of_groups(groups, tracks)
    of_end, group, parent = np.full((n, 2), -1, np.int64), np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    vertex = np.empty(len(group_first) - 1, np.int64)
    backward, odds = evidence < 0, np.abs(evidence)
    for g in range(len(vertex)):
        own = members[group_first[g] : group_first[g + 1]]
        ends, branches = np.empty((len(own), 2), np.int64), np.empty((len(own), 2), np.int64)
        own_votes = np.empty(2 * len(own))
        for i in range(len(own)):
            a = own[i]
            group[a] = g
            for side in range(2):
                at_end = junctions[2 * a + side]
                of_end[a, side] = at_end
                ends[i, side] = 2 * place[at_end // 2] + at_end % 2
                branches[i, side] = place[branch_at[a, side]] if branch_at[a, side] >= 0 else -1
                own_votes[2 * i + side] = votes[2 * a + side]
        first, at = _tracks_at(ends)
        start, agree = _best_vertex(ends, first, at, branches, evidence[own], own_votes)
        vertex[g] = 2 * own[start // 2] + start % 2
        order, start_of, came = _walk(start, ends, first, at, branches)
        for i in range(len(order)):
            a = own[order[i]]
            backward[a] = start_of[i] == 1
            parent[a] = own[came[order[i]]] if came[order[i]] >= 0 else -1
            odds[a] = min(MOST, agree[order[i], start_of[i]] - agree[order[i], 1 - start_of[i]])
    return of_end, backward, odds, group, vertex, parent
