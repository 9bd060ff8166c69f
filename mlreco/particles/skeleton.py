"""The line of a particle: the longest path through the minimum spanning tree of its landmarks.

The tree follows bends and kinks and closes gaps. A part that a gap longer than itself separates from the rest is not
part of the line: one stray voxel cannot lengthen a track. A ring has no ends; its line goes around it once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.landmarks import Landmarks
from mlreco.post_processing.clustering.disjoint_sets import root as find_root

SMALLEST_GAP = 1.5
"""Gaps up to this length, cm, never separate."""


@dataclass(frozen=True)
class Lines:
    """The lines of K particles of M landmarks.

    Attributes:
        starts: (K + 1,) int64; the line of particle k is ``landmarks[starts[k]:starts[k + 1]]``, at least one landmark.
        landmarks: (L,) int64 landmarks of all lines in their order.
        parts: (M,) int64 a landmark of the part of its particle that each landmark is in; parts are farther apart than
            the gap.
    """

    starts: np.ndarray
    landmarks: np.ndarray
    parts: np.ndarray


def find_lines(landmarks: Landmarks, gap: float = SMALLEST_GAP) -> Lines:
    """Return the line of each particle.

    Args:
        landmarks: those of K particles.
        gap: parts at most this far apart belong together whatever their length, cm.
    """
    return Lines(*_lines(landmarks.positions, landmarks.weights, landmarks.starts, gap))


@compiled
def _spanning_tree(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends and the length of the m - 1 edges of the minimum spanning tree of (m, 3) points (Prim)."""
    m = len(points)
    parent, distance = np.zeros(m, np.int64), np.full(m, np.inf)
    outside = np.arange(m)
    left = m
    ends, lengths = np.empty((max(m - 1, 0), 2), np.int64), np.empty(max(m - 1, 0))
    current, place = 0, 0
    for edge in range(m - 1):
        left -= 1
        outside[place] = outside[left]
        best = np.inf
        for i in range(left):
            other = outside[i]
            square = 0.0
            for axis in range(3):
                square += (points[other, axis] - points[current, axis]) ** 2
            if square < distance[other]:
                distance[other] = square
                parent[other] = current
            if distance[other] < best:
                best = distance[other]
                place = i
        current = outside[place]
        ends[edge, 0], ends[edge, 1] = parent[current], current
        lengths[edge] = np.sqrt(best)
    return ends, lengths


@compiled
def _join(ends: np.ndarray, lengths: np.ndarray, weights: np.ndarray, gap: float) -> tuple[np.ndarray, int, np.ndarray]:
    """Return which edges join what belongs together, a landmark of its heaviest piece, and parts that no gap cuts."""
    m = len(weights)
    parents, parts = np.arange(m), np.arange(m)
    inside, heavy = np.zeros(m), weights.copy()
    kept = np.zeros(len(lengths), np.bool_)
    for edge in np.argsort(lengths):
        if lengths[edge] <= gap:
            parts[find_root(parts, ends[edge, 1])] = find_root(parts, ends[edge, 0])
        a, b = find_root(parents, ends[edge, 0]), find_root(parents, ends[edge, 1])
        if lengths[edge] <= max(gap, min(inside[a], inside[b])):
            parents[b] = a
            inside[a] += inside[b] + lengths[edge]
            heavy[a] += heavy[b]
            kept[edge] = True
    best = find_root(parents, 0)
    for i in range(m):
        parts[i] = find_root(parts, i)
        root = find_root(parents, i)
        if heavy[root] > heavy[best]:
            best = root
    return kept, best, parts


@compiled
def _farthest(start: int, first: np.ndarray, neighbours: np.ndarray, distances: np.ndarray) -> tuple[int, np.ndarray]:
    """Walk the tree from a node; return the node farthest along it, and where each was reached from."""
    came, path = np.full(len(first) - 1, -1, np.int64), np.zeros(len(first) - 1)
    stack = np.empty(len(first) - 1, np.int64)
    stack[0], depth, best = start, 1, start
    came[start] = start
    while depth:
        depth -= 1
        node = stack[depth]
        if path[node] > path[best]:
            best = node
        for j in range(first[node], first[node + 1]):
            other = neighbours[j]
            if came[other] < 0:
                came[other] = node
                path[other] = path[node] + distances[j]
                stack[depth] = other
                depth += 1
    return best, came


@compiled
def _lines(
    points: np.ndarray, weights: np.ndarray, starts: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    line, line_starts, length = np.empty(len(points), np.int64), np.zeros(len(starts), np.int64), 0
    parts = np.empty(len(points), np.int64)
    for p in range(len(starts) - 1):
        begin, m = starts[p], starts[p + 1] - starts[p]
        ends, lengths = _spanning_tree(points[begin : begin + m])
        kept, inside, own = _join(ends, lengths, weights[begin : begin + m], gap)
        parts[begin : begin + m] = begin + own
        first = np.zeros(m + 2, np.int64)
        for edge in range(m - 1):
            if kept[edge]:
                first[ends[edge, 0] + 2] += 1
                first[ends[edge, 1] + 2] += 1
        first = np.cumsum(first)
        neighbours, distances = np.empty(2 * m, np.int64), np.empty(2 * m)
        for edge in range(m - 1):
            if kept[edge]:
                for side in range(2):
                    j = first[ends[edge, side] + 1]
                    neighbours[j], distances[j] = ends[edge, 1 - side], lengths[edge]
                    first[ends[edge, side] + 1] += 1
        one, _ = _farthest(inside, first[:-1], neighbours, distances)
        node, came = _farthest(one, first[:-1], neighbours, distances)
        while True:
            line[length] = begin + node
            length += 1
            if came[node] == node:
                break
            node = came[node]
        line_starts[p + 1] = length
    return line_starts, line[:length], parts
