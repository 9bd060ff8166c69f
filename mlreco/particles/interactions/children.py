"""Particles that come out of others: where they meet their parent and in which sense they leave it."""

from __future__ import annotations

import numpy as np

from mlreco.particles.interactions.draft import Draft
from mlreco.particles.interactions.junction_points import JunctionPoints
from mlreco.particles.interactions.measured import Measured
from mlreco.particles.junctions import Contacts, Junctions
from mlreco.particles.kinds import Kind


def start_at_parents(draft: Draft, event: Measured, contacts: Contacts) -> None:
    """Let Michel and delta electrons start at the end of their line that is nearer to their parent."""
    children = np.flatnonzero((draft.parent >= 0) & (event.kinds != Kind.TRACK))
    if not len(children):
        return
    meeting = contacts.position[_rows_of_children(contacts, draft.parent, children)]
    distances = np.linalg.norm(event.trajectories.ends[children] - meeting[:, None], axis=2)
    draft.backward[children] = distances[:, 1] < distances[:, 0]
    draft.odds[children] = np.abs(distances[:, 1] - distances[:, 0])


def meetings_with_parents(
    draft: Draft, event: Measured, junctions: Junctions, points: JunctionPoints, contacts: Contacts
) -> np.ndarray:
    """Return (K, 3) where tracks meet their parent: the mean of the ends there, or the line of its side."""
    origins = np.full((len(event.kinds), 3), np.nan)
    children = np.flatnonzero((draft.parent >= 0) & event.tracks)
    if not len(children):
        return origins
    side = draft.backward[children].astype(np.int64)
    place = np.searchsorted(points.junctions, junctions.of_end[children, side])
    origins[children] = points.positions[place]
    beside = points.counts[place] == 1
    children, side = children[beside], side[beside]
    rows = _rows_of_children(contacts, draft.parent, children)
    ends, voxel = event.trajectories.ends, contacts.voxel[rows]
    away = ends[children, 1 - side] - ends[children, side]
    tangent = event.trajectories.tangents[voxel]
    away -= (away * tangent).sum(axis=1, keepdims=True) * tangent
    size = np.linalg.norm(away, axis=1, keepdims=True)
    towards = away / np.where(size > 0, size, np.inf)
    origins[children] = contacts.position[rows] - event.trajectories.aside[voxel][:, None] * towards
    return origins


def _rows_of_children(contacts: Contacts, parent: np.ndarray, children: np.ndarray) -> np.ndarray:
    """Return the contact of the parent of each child with it; there must be one."""
    keys = contacts.track * len(parent) + contacts.other
    order = np.argsort(keys)
    return order[np.searchsorted(keys[order], parent[children] * len(parent) + children)]
