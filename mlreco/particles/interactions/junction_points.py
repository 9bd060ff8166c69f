"""Junctions of tracks as points at which showers may start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.particles.junctions import Junctions
from mlreco.particles.trajectory import Trajectories


@dataclass(frozen=True)
class JunctionPoints:
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


def junction_points(junctions: Junctions, trajectories: Trajectories, tracks: np.ndarray) -> JunctionPoints:
    """Return the junctions of tracks as points.

    Args:
        junctions: of K particles.
        trajectories: their paths.
        tracks: (K,) bool.
    """
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
    return JunctionPoints(ids, points, counts, group, np.where(is_vertex, -1, arriving), track)
