"""Path length along the line of a particle: where each voxel lies on it, its ends, its length.

The landmarks of the line (:mod:`mlreco.particles.skeleton`) give a first path; the weighted means of the voxels over
each centimetre of it, each moved towards its neighbours, give a smoother one, along which lengths are measured. Ends
are the outermost voxels that are not faint beside those that touch them: smeared charge would lengthen the track by a
voxel or two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.landmarks import Landmarks
from mlreco.particles.skeleton import Lines

FAINT = 0.25
"""Voxels below this part of the brightest one that touches them make no end: smeared by a Gaussian of half a voxel, a
voxel leaves 0.22 of what it keeps in the one beside it."""

NODE_SPACING = 1.0
"""Length over which voxels are averaged to a node of the path, cm."""


@dataclass(frozen=True)
class Trajectories:
    """Paths through K particles of N voxels, in an arbitrary sense.

    Attributes:
        along: (N,) float64 path length at which each voxel lies, cm from the first end; negative or beyond the length
            for faint voxels outside the ends.
        aside: (N,) float64 distance of each voxel from the path, cm.
        tangents: (N, 3) float64 unit direction of the path at each voxel.
        ends: (K, 2, 3) float64 both ends, cm.
        outward: (K, 2, 3) float64 unit direction of the path at each end, out of the particle.
        lengths: (K,) float64 path length from end to end, cm; 0 where all voxels lie in one place.
        tips: (K, 2) float64 how far beyond each end, the middle of its voxel, an even dE/dx reaches for the weight of
            that voxel beside those that touch it, cm; negative where it does not fill half of it.
        spacing: distance of the nodes of the paths, cm.
    """

    along: np.ndarray
    aside: np.ndarray
    tangents: np.ndarray
    ends: np.ndarray
    outward: np.ndarray
    lengths: np.ndarray
    tips: np.ndarray
    spacing: float


def follow(
    voxels: ParticleVoxels, landmarks: Landmarks, lines: Lines, axes: np.ndarray, spacing: float = NODE_SPACING
) -> Trajectories:
    """Return the paths of all particles.

    Args:
        voxels: the particles.
        landmarks: their landmarks.
        lines: the lines through the landmarks.
        axes: (K, 3) unit vectors: directions of the particles whose line is a point.
        spacing: length over which voxels are averaged, cm.
    """
    along, aside, tangents, ends, outward, lengths, tips = _follow(
        voxels.positions,
        voxels.weights,
        voxels.starts,
        landmarks.owners,
        landmarks.positions,
        landmarks.starts,
        lines.starts,
        lines.landmarks,
        axes,
        spacing,
        1.5 * voxels.voxel_size,
        FAINT,
    )
    return Trajectories(along, aside, tangents, ends, outward, lengths, tips, spacing)


@compiled
def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return np.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


@compiled
def _path_lengths(nodes: np.ndarray) -> np.ndarray:
    lengths = np.zeros(len(nodes))
    for i in range(1, len(nodes)):
        lengths[i] = lengths[i - 1] + _distance(nodes[i], nodes[i - 1])
    return lengths


@compiled
def _directions(nodes: np.ndarray, lengths: np.ndarray, reach: float, axis: np.ndarray) -> np.ndarray:
    """Return the unit direction of a path at each node, between the nodes at least ``reach`` before and after it."""
    directions = np.empty((len(nodes), 3))
    for i in range(len(nodes)):
        low, high = i, i
        while low > 0 and lengths[i] - lengths[low] < reach:
            low -= 1
        while high < len(nodes) - 1 and lengths[high] - lengths[i] < reach:
            high += 1
        size = _distance(nodes[high], nodes[low])
        for axis_number in range(3):
            directions[i, axis_number] = (
                (nodes[high, axis_number] - nodes[low, axis_number]) / size if size > 0 else axis[axis_number]
            )
    return directions


@compiled
def _project(position: np.ndarray, node: np.ndarray, direction: np.ndarray) -> float:
    return (
        (position[0] - node[0]) * direction[0]
        + (position[1] - node[1]) * direction[1]
        + (position[2] - node[2]) * direction[2]
    )


@compiled
def _place_of_landmarks(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the place in the line of each landmark; those beside it have the place of the nearest in it."""
    places = np.full(len(points), -1, np.int64)
    for i in range(len(line)):
        places[line[i]] = i
    for i in range(len(points)):
        if places[i] < 0:
            best = np.inf
            for j in range(len(line)):
                distance = _distance(points[i], points[line[j]])
                if distance < best:
                    best, places[i] = distance, j
    return places


@compiled
def _nodes(
    positions: np.ndarray, weights: np.ndarray, along: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted means of voxels over equal parts of a path, and the part of each voxel."""
    low, high = along.min(), along.max()
    count = max(1, int(np.floor((high - low) / spacing)))
    sums, totals = np.zeros((count, 3)), np.zeros(count)
    part = np.empty(len(along), np.int64)
    for i in range(len(along)):
        part[i] = min(count - 1, int((along[i] - low) / max(high - low, 1e-9) * count))
        totals[part[i]] += weights[i]
        for axis in range(3):
            sums[part[i], axis] += weights[i] * positions[i, axis]
    number = np.empty(count, np.int64)
    filled = 0
    for j in range(count):
        number[j] = filled
        if totals[j] > 0:
            for axis in range(3):
                sums[filled, axis] = sums[j, axis] / totals[j]
            filled += 1
    for i in range(len(along)):
        part[i] = number[part[i]]
    return sums[:filled], part


@compiled
def _smooth(nodes: np.ndarray, most: float) -> np.ndarray:
    """Return nodes moved by a quarter of their second differences, at both ends so that the path goes straight on.

    The scatter of nodes about a line would make the path through them longer. None moves farther than ``most``, by
    which they may scatter: a kink stays one.
    """
    smooth = nodes.copy()
    for i in range(1, len(nodes) - 1):
        bend = (nodes[i - 1] - 2 * nodes[i] + nodes[i + 1]) / 4
        bend *= min(1.0, most / max(np.sqrt((bend**2).sum()), 1e-9))
        smooth[i] += bend
        if i == 1:
            smooth[0] -= bend
        if i == len(nodes) - 2:
            smooth[-1] -= bend
    return smooth


@compiled
def _end_voxel(
    x: np.ndarray,
    weights: np.ndarray,
    along: np.ndarray,
    in_line: np.ndarray,
    sign: float,
    reach: float,
    neighbour: np.ndarray,
    faint: float,
) -> tuple[int, float]:
    """Return the voxel at one end of a path: with ``sign`` 1 the one of the least ``along``, -1 of the greatest.

    It is the outermost one that is not faint beside the brightest of the others that touch it (``neighbour``: least
    distance along each axis of two that do not). Also return its weight over that of the brightest one, at most 1; 0.5
    where none touches it.
    """
    extreme = np.inf
    for i in range(len(along)):
        if in_line[i]:
            extreme = min(extreme, sign * along[i])
    near = np.flatnonzero(in_line & (sign * along <= extreme + reach))
    order = near[np.argsort(sign * along[near])]
    for i in order:
        brightest = 0.0
        for j in near:
            touches = j != i
            for axis in range(3):
                touches = touches and abs(x[i, axis] - x[j, axis]) < neighbour[axis]
            if touches:
                brightest = max(brightest, weights[j])
        if weights[i] >= faint * brightest:
            return int(i), min(1.0, weights[i] / brightest) if brightest > 0 else 0.5
    return int(order[0]), 0.5


@compiled
def _follow(
    positions: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    owners: np.ndarray,
    points: np.ndarray,
    point_starts: np.ndarray,
    line_starts: np.ndarray,
    lines: np.ndarray,
    axes: np.ndarray,
    spacing: float,
    neighbour: np.ndarray,
    faint: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    count = len(starts) - 1
    along, aside, tangents = np.zeros(len(positions)), np.zeros(len(positions)), np.zeros((len(positions), 3))
    ends, outward = np.zeros((count, 2, 3)), np.zeros((count, 2, 3))
    lengths, tips = np.zeros(count), np.zeros((count, 2))
    for p in range(count):
        first, end, begin = starts[p], starts[p + 1], point_starts[p]
        x, w, s = positions[first:end], weights[first:end], along[first:end]
        line = lines[line_starts[p] : line_starts[p + 1]] - begin
        corners = points[begin : point_starts[p + 1]][line]
        travelled = _path_lengths(corners)
        directions = _directions(corners, travelled, 1.5 * spacing, axes[p])
        places = _place_of_landmarks(points[begin : point_starts[p + 1]], line)
        for i in range(end - first):
            place = places[owners[first + i] - begin]
            s[i] = travelled[place] + _project(x[i], corners[place], directions[place])
        nodes, part = _nodes(x, w, s, spacing)
        nodes = _smooth(nodes, neighbour.max() / 3)
        travelled = _path_lengths(nodes)
        directions = _directions(nodes, travelled, 0.5 * spacing, directions[0])
        in_line = np.empty(end - first, np.bool_)
        for i in range(end - first):
            node, direction = nodes[part[i]], directions[part[i]]
            ahead = _project(x[i], node, direction)
            s[i] = travelled[part[i]] + ahead
            square = 0.0
            for axis in range(3):
                square += (x[i, axis] - node[axis] - ahead * direction[axis]) ** 2
                tangents[first + i, axis] = direction[axis]
            aside[first + i] = np.sqrt(square)
            owner = owners[first + i]
            in_line[i] = lines[line_starts[p] + places[owner - begin]] == owner
        for side in range(2):
            outermost, full = _end_voxel(x, w, s, in_line, 1.0 - 2.0 * side, spacing, neighbour, faint)
            node, direction = nodes[part[outermost]], directions[part[outermost]]
            ahead = s[outermost] - travelled[part[outermost]]
            for axis in range(3):
                ends[p, side, axis] = node[axis] + ahead * direction[axis]
                outward[p, side, axis] = (2.0 * side - 1.0) * direction[axis]
                tips[p, side] += (full - 0.5) * abs(direction[axis]) * neighbour[axis] / 1.5
            lengths[p] += (2.0 * side - 1.0) * s[outermost]
            if side == 0:
                low = s[outermost]
        s -= low
    return along, aside, tangents, ends, outward, lengths, tips
