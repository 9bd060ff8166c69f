"""Vertices are the points nearest to lines, and as far off as their uncertainty says."""

import numpy as np
import pytest
from drawn_particles import image_of, line, random_directions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from mlreco.particles.columns import vectors_of
from mlreco.particles.reconstruction import reconstruct_particles
from mlreco.particles.vertices import FAR, StartingLines, nearest_points

WITHIN = 1.08
"""Length within which 68 % of the vectors are that are Gaussian of width 1 / sqrt(3) in each axis."""


def lines_near(point, count, seed, across=0.05, along=0.5):
    """Lines that start near a point, off by Gaussian errors."""
    rng = np.random.default_rng([seed, 1])
    directions = random_directions(count, seed)
    off = rng.normal(0, across, (count, 3))
    off += ((rng.normal(0, along, count) - (off * directions).sum(axis=1))[:, None]) * directions
    return StartingLines(point + off, directions, np.full(count, across), np.full(count, along), np.zeros(count))


@settings(max_examples=20, deadline=None)
@given(count=st.integers(2, 6), seed=st.integers(0, 1000))
def test_the_point_is_that_of_least_squares(count, seed):
    """With the loss of Huber, found step by step; and the covariance of its Jacobian where no line is far."""
    lines = lines_near(np.array([3.0, -5, 20]), count, seed)

    def pulls(point):
        miss = lines.points - point
        ahead = (miss * lines.directions).sum(axis=1)
        aside = miss - ahead[:, None] * lines.directions
        return np.concatenate([aside / lines.across[:, None], (ahead / lines.along)[:, None]], axis=1)

    expected = least_squares(lambda point: pulls(point).ravel(), np.array([3.0, -5, 20]), method="lm")
    points, spreads = nearest_points(lines, np.zeros(count, np.int64), 1)
    if np.linalg.norm(pulls(expected.x), axis=1).max() < FAR:
        np.testing.assert_allclose(points[0], expected.x, atol=1e-6)
        covariance = np.linalg.inv(expected.jac.T @ expected.jac)
        scale = max(1.0, 2 * expected.cost / (3 * count - 3))
        assert spreads[0] == pytest.approx(np.sqrt(np.trace(covariance) / 3 * scale), rel=1e-4)
    else:

        def pull(point):
            far = np.linalg.norm(pulls(point), axis=1)
            return np.sqrt(np.where(far < FAR, far**2, 2 * FAR * far - FAR**2))

        found = least_squares(pull, points[0])
        assert found.cost == pytest.approx((pull(points[0]) ** 2).sum() / 2, rel=0.02)


def test_groups_do_not_know_of_each_other_and_the_order_does_not_matter():
    parts = [
        lines_near(np.array(place), 4, seed) for seed, place in enumerate([(0.0, 0, 0), (30.0, 2, 1), (5.0, 5, 5)])
    ]
    names = ("points", "directions", "across", "along", "angles")
    joined = StartingLines(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    groups, order = np.repeat([0, 1, 2], 4), np.random.default_rng(0).permutation(12)
    points, spreads = nearest_points(joined[order], groups[order], 4)
    for number, part in enumerate(parts):
        alone = nearest_points(part, np.zeros(4, np.int64), 1)
        np.testing.assert_allclose(points[number], alone[0][0])
        assert spreads[number] == pytest.approx(alone[1][0])
    assert np.isnan(points[3]).all() and np.isnan(spreads[3]), "a group without lines has no point"


@pytest.mark.parametrize("count", [3, 5])
def test_68_per_cent_of_gaussian_lines_are_within_the_spread(count):
    pulls = []
    for seed in range(400):
        points, spreads = nearest_points(lines_near(np.zeros(3), count, seed), np.zeros(count, np.int64), 1)
        pulls.append(np.linalg.norm(points[0]) / spreads[0] / np.sqrt(3))
    assert np.quantile(pulls, 0.68) == pytest.approx(WITHIN, rel=0.12), "a little less: the scale is never below 1"


def test_a_line_from_elsewhere_hardly_moves_the_vertex():
    own = lines_near(np.zeros(3), 4, 3)
    aside = np.cross(own.directions[0], own.directions[1])
    far = StartingLines(
        np.vstack([own.points, 2 * aside / np.linalg.norm(aside)]),
        np.vstack([own.directions, own.directions[0]]),
        *(np.append(getattr(own, name), getattr(own, name)[0]) for name in ("across", "along", "angles")),
    )
    without, spread = nearest_points(own, np.zeros(4, np.int64), 1)
    found, wider = nearest_points(far, np.zeros(5, np.int64), 1)
    assert np.linalg.norm(found - without) < 2 * spread[0] < 0.2
    assert spread[0] < wider[0] < 0.5, "it disagrees, and that is told"


def test_photons_leave_their_vertex_as_uncertain_as_their_directions_do():
    """Two lines that cross at right angles, far behind their starts."""
    for gap in (10.0, 40.0):
        directions = np.array([[1.0, 0, 0], [0, 1.0, 0]])
        lines = StartingLines(gap * directions, directions, np.full(2, 0.3), np.full(2, np.inf), np.full(2, 0.05))
        points, spreads = nearest_points(lines, np.zeros(2, np.int64), 1)
        sigma = np.hypot(0.3, 0.05 * gap)
        np.testing.assert_allclose(points[0], 0, atol=1e-9)
        assert spreads[0] == pytest.approx(sigma * np.sqrt((1 + 1 + 1 / 2) / 3))


def test_lines_that_leave_a_point_open_have_none():
    parallel = StartingLines(
        np.array([[0.0, 0, 0], [0, 1, 0]]), np.tile([1.0, 0, 0], (2, 1)), np.ones(2), np.full(2, np.inf), np.zeros(2)
    )
    points, spreads = nearest_points(parallel, np.zeros(2, np.int64), 1)
    assert np.isnan(points).all() and np.isnan(spreads).all()


@pytest.mark.parametrize("voxel", [0.3, 0.6, (0.3, 0.5, 0.4)])
def test_spreads_are_right_in_voxels_of_any_size(voxel):
    """Three straight tracks from a vertex anywhere in its voxel."""
    rng, pulls = np.random.default_rng(5), []
    for seed in range(60):
        vertex, tracks = rng.uniform(-20, 20, 3), []
        directions = random_directions(3, seed)
        while (directions @ directions.T - 2 * np.eye(3)).max() > 0.7:
            directions = random_directions(3, rng.integers(1 << 30))
        for direction in directions:
            points, travelled = line(vertex, direction, 30)
            tracks.append((points, np.full(len(travelled), 0.021), "MIP"))
        found = reconstruct_particles(image_of(*tracks, voxel=voxel)).interactions
        row = found[found["primaries"] == 3]
        if len(row) == 1:
            pulls.append(np.linalg.norm(vectors_of(row, "vertex")[0] - vertex) / row["vertex_spread"][0] / np.sqrt(3))
    assert len(pulls) > 50
    assert np.quantile(pulls, 0.68) == pytest.approx(WITHIN, abs=0.3)
