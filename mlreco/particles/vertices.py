"""Positions of vertices, and which showers point at which.

A vertex is the point nearest to the lines along which its particles start: the sum over particles of the squared
distances from the line and along it, from the start, over their variances, is least. Across, lines of tracks are as
uncertain as their fits (:mod:`mlreco.particles.directions`), those of showers as their starts and, behind these, their
directions. Along, a vertex hides voxels of tracks; photons start anywhere on their lines and count across only.
Particles that come from elsewhere are taken for primaries too: a line that misses the point by more than `FAR` standard
deviations counts less, in proportion (Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964)
73).

A shower belongs to a vertex if the odds of that against a chance alignment say so: photons convert after an exponential
distance, and the direction from the vertex to the start agrees with that of the shower within its uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mlreco.compiled import compiled
from mlreco.particles.liquid_argon import RADIATION_LENGTH

ALONG = 1.7
"""Uncertainty of the start of a track along its direction, edges of a voxel: where others have its first ones."""

FAR, ROUNDS = 3.0, 8
"""Lines farther than this from the vertex, standard deviations, count less; how often it is found again with that."""

LEAST_STIFFNESS = 1e-3
"""A point is known if lines hold it in every direction with this part of the strength of the best one."""

TOUCHING = 2.0
"""A shower that starts within this distance of a vertex comes from it whatever its direction, cm."""

CONVERSION = 9 / 7 * RADIATION_LENGTH
"""Mean free path of a photon of high energy, cm."""

CHANCE_DENSITY = 3e-6
"""Density of points, 1/cm3, to which a shower may point by chance: ten in a cube 1.5 m wide."""

ODDS = 3.0
"""Odds from which a shower belongs to a vertex."""

SECONDARY = 0.1
"""Odds of a meeting point of tracks that is not the vertex, beside those of a vertex."""

PAIR_MISS, PAIR_REACH = 3.0, 60.0
"""Two showers are a pair if their lines pass each other within the first distance, behind both starts and at most the
second from them, cm."""

PAIR_ODDS = 1.0
"""Odds from which two showers are a pair."""

START_ERROR = 0.7
"""Uncertainty of the start of a shower, cm."""


@dataclass(frozen=True)
class StartingLines:
    """Lines along which S particles start.

    Attributes:
        points: (S, 3) float64 where they start, cm.
        directions: (S, 3) float64 unit vectors; NaN for a particle that has none and is as uncertain in all directions.
        across: (S,) float64 standard deviation of the point in each direction across the line, cm; of a shower, which
            starts apart from its vertex, that at its start.
        along: (S,) float64 that along the line, cm; infinite for showers.
        angles: (S,) float64 standard deviation of the direction in each of two planes, rad: the line is the less
            certain the farther behind the start; 0 for tracks.
    """

    points: np.ndarray
    directions: np.ndarray
    across: np.ndarray
    along: np.ndarray
    angles: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> StartingLines:
        return StartingLines(*(getattr(self, field.name)[chosen] for field in fields(self)))


def nearest_points(lines: StartingLines, groups: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the point nearest to the lines of each group, and its uncertainty.

    Args:
        lines: of S particles.
        groups: (S,) number of the group of each.
        count: number of groups.

    Returns:
        (G, 3) points, NaN where a group has no particle or its lines leave the point open; (G,) root of the mean over
        axes of the variance, cm, scaled up where lines miss each other by more than their uncertainty, as the Particle
        Data Group does with averages (Review of Particle Physics, introduction).
    """
    counted, behind = np.ones(len(groups)), np.zeros(len(groups))
    constraints = np.where(np.isfinite(lines.along), 3.0, 2.0)
    for _ in range(ROUNDS):
        stiffness = _stiffness(lines, np.hypot(lines.across, lines.angles * behind))
        points, covariance = _balanced(lines.points, counted[:, None, None] * stiffness, groups, count)
        miss = np.nan_to_num(lines.points - points[groups])
        chi2 = np.einsum("si,sij,sj->s", miss, stiffness, miss)
        total = np.bincount(groups, counted * chi2, count)
        freedom = np.bincount(groups, counted * constraints, count) - 3
        counted = np.minimum(1.0, FAR / np.sqrt(np.maximum(chi2, FAR**2)))
        behind = np.linalg.norm(miss, axis=1)
    scale = np.maximum(1.0, total / np.maximum(freedom, 1.0))
    return points, np.sqrt(np.trace(covariance, axis1=1, axis2=2) / 3 * scale)


def _stiffness(lines: StartingLines, across: np.ndarray) -> np.ndarray:
    """Return the inverse covariance of the point of each line, (S, 3, 3), with its uncertainty across at the vertex."""
    known = np.isfinite(lines.directions).all(axis=1)
    unit = np.where(known[:, None], lines.directions, 0.0)
    lengthwise = 1 / lines.along**2
    sideways = np.where(known, 1 / across**2, lengthwise)
    outer = unit[:, :, None] * unit[:, None, :]
    return sideways[:, None, None] * np.eye(3) + (lengthwise - sideways)[:, None, None] * outer


def _balanced(points: np.ndarray, stiffness: np.ndarray, groups: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Return the weighted mean of the points of each group, (G, 3), and its covariance, (G, 3, 3); NaN where open."""
    sums, right = np.zeros((count, 3, 3)), np.zeros((count, 3))
    np.add.at(sums, groups, stiffness)
    np.add.at(right, groups, np.einsum("sij,sj->si", stiffness, points))
    strength = np.linalg.eigvalsh(sums)
    solvable = strength[:, 0] > LEAST_STIFFNESS * strength[:, 2]
    covariance = np.full((count, 3, 3), np.nan)
    covariance[solvable] = np.linalg.inv(sums[solvable])
    return np.einsum("gij,gj->gi", covariance, right), covariance


@dataclass(frozen=True)
class Attachments:
    """To which point each of S showers belongs.

    Attributes:
        point: (S,) int64 number of the point; -1 for none.
        sense: (S,) int64 0 or 1: sense of the shower that fits the best point; the likelier one where there is none.
        odds: (S,) float64 odds of the point against a chance alignment.
    """

    point: np.ndarray
    sense: np.ndarray
    odds: np.ndarray


def attach_showers(
    starts: np.ndarray,
    directions: np.ndarray,
    errors: np.ndarray,
    sense: np.ndarray,
    groups: np.ndarray,
    points: np.ndarray,
    priors: np.ndarray,
    point_groups: np.ndarray,
) -> Attachments:
    """Return the point to which each shower belongs.

    Args:
        starts: (S, 2, 3) where the showers start in either sense, cm.
        directions: (S, 2, 3) unit directions there.
        errors: (S,) angle within which 68 % of the directions are, rad.
        sense: (S,) log odds of the first sense.
        groups: (S,) integers; a shower belongs to points of its own group only.
        points: (P, 3) meeting points of tracks, cm.
        priors: (P,) odds of each before anything is known: 1 for vertices, `SECONDARY` for others.
        point_groups: (P,) integers.
    """
    return Attachments(*_attach(starts, directions, errors, sense, groups, points, priors, point_groups))


@compiled
def pointing_odds(start: np.ndarray, direction: np.ndarray, error: float, point: np.ndarray) -> float:
    """Return the odds that a shower comes from a point rather than that it points there by chance."""
    gap, ahead = 0.0, 0.0
    for axis in range(3):
        gap += (start[axis] - point[axis]) ** 2
        ahead += (start[axis] - point[axis]) * direction[axis]
    gap = np.sqrt(gap)
    chance = 4 * np.pi * CHANCE_DENSITY * max(gap, TOUCHING) ** 2
    density = np.exp(-gap / CONVERSION) / CONVERSION / chance
    if gap <= TOUCHING:
        return density
    if np.isnan(ahead) or np.isnan(error):
        return 0.0
    angle = np.arccos(min(1.0, max(-1.0, ahead / gap)))
    variance = error**2 / 2.28 + (START_ERROR / gap) ** 2
    return density * 2 / variance * (1 + angle**2 / (4 * variance)) ** -3.0


@compiled
def _attach(
    starts: np.ndarray,
    directions: np.ndarray,
    errors: np.ndarray,
    sense: np.ndarray,
    groups: np.ndarray,
    points: np.ndarray,
    priors: np.ndarray,
    point_groups: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(starts)
    best, chosen = np.zeros(count), np.full(count, -1, np.int64)
    side = np.where(sense < 0, 1, 0)
    for s in range(count):
        for v in range(2):
            prior = 1 / (1 + np.exp(-sense[s] if v == 0 else sense[s]))
            for p in range(len(points)):
                if point_groups[p] != groups[s]:
                    continue
                odds = priors[p] * prior * pointing_odds(starts[s, v], directions[s, v], errors[s], points[p])
                if odds > max(best[s], ODDS):
                    best[s], chosen[s], side[s] = odds, p, v
    return chosen, side, best


@compiled
def crossing_pairs(
    starts: np.ndarray, directions: np.ndarray, errors: np.ndarray, sense: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which showers may come from one point, at which their lines cross behind their starts.

    Args:
        starts: (S, 2, 3) where the showers start in either sense, cm.
        directions: (S, 2, 3) unit directions there.
        errors: (S,) angle within which 68 % of the directions are, rad.
        sense: (S,) log odds of the first sense.
        groups: (S,) integers; only showers of one group are a pair.

    Returns:
        (P,) odds of the pairs, all above `PAIR_ODDS`: the lesser of those of its showers; (P, 2) the showers; (P, 2)
        their senses.
    """
    odds, members, sides = [0.0], [(0, 0)], [(0, 0)]
    for i in range(len(starts)):
        for j in range(i + 1, len(starts)):
            if groups[i] != groups[j]:
                continue
            for a in range(2):
                for b in range(2):
                    found = _odds_of_crossing(
                        starts[i, a], directions[i, a], errors[i], starts[j, b], directions[j, b], errors[j]
                    )
                    found /= 1 + np.exp(sense[i] if a else -sense[i])
                    found /= 1 + np.exp(sense[j] if b else -sense[j])
                    if found > PAIR_ODDS:
                        odds.append(found)
                        members.append((i, j))
                        sides.append((a, b))
    pairs, senses = np.empty((len(odds) - 1, 2), np.int64), np.empty((len(odds) - 1, 2), np.int64)
    for row in range(1, len(odds)):
        pairs[row - 1, 0], pairs[row - 1, 1] = members[row]
        senses[row - 1, 0], senses[row - 1, 1] = sides[row]
    return np.array(odds)[1:], pairs, senses


@compiled
def _odds_of_crossing(
    one: np.ndarray, u: np.ndarray, error: float, other: np.ndarray, v: np.ndarray, other_error: float
) -> float:
    """Return the lesser of the odds with which two showers come from the point between their lines, 0 for none."""
    between = other - one
    cosine, along_u, along_v = (u * v).sum(), (between * u).sum(), (between * v).sum()
    determinant = 1 - cosine**2
    if not determinant > 0.01:
        return 0.0
    back = (along_u - cosine * along_v) / determinant
    other_back = (cosine * along_u - along_v) / determinant
    if not (-PAIR_REACH <= back <= 0 and -PAIR_REACH <= other_back <= 0):
        return 0.0
    p, q = one + back * u, other + other_back * v
    if ((p - q) ** 2).sum() > PAIR_MISS**2:
        return 0.0
    point = (p + q) / 2
    return min(pointing_odds(one, u, error, point), pointing_odds(other, v, other_error, point))
