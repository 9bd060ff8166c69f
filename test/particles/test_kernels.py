"""Kernels against slow and obvious versions, and against SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree, shortest_path
from scipy.spatial.distance import cdist

from mlreco.particles.company import shares_in_company, touched_voxels
from mlreco.particles.geometry import principal_axes
from mlreco.particles.grouping import group_voxels
from mlreco.particles.identity import photon_probability
from mlreco.particles.kinds import most_common
from mlreco.particles.landmarks import find_landmarks
from mlreco.particles.matching import match_particles
from mlreco.particles.meetings import find_meetings
from mlreco.particles.proximity import find_neighbours
from mlreco.particles.showers import direction_error
from mlreco.particles.skeleton import find_lines
from mlreco.particles.vertices import pointing_odds


def event(seed, particles=4, voxels=60, spread=12):
    """Grouped voxels of some random walks, all energies different."""
    rng = np.random.default_rng(seed)
    walks = [np.cumsum(rng.integers(-1, 2, (voxels, 3)), axis=0) + rng.integers(0, spread, 3) for _ in range(particles)]
    coordinates = np.concatenate(walks)
    _, first = np.unique(coordinates, axis=0, return_index=True)
    owners = np.repeat(np.arange(particles), voxels)[first]
    return group_voxels(coordinates[first], rng.random(len(first)) + 0.1, owners, (0, 0, 0), (0.3, 0.3, 0.4))


def axes_of(voxels):
    return principal_axes(voxels.positions, voxels.owners, voxels.counts)[1]


def own(starts, k):
    return slice(starts[k], starts[k + 1])


@pytest.mark.parametrize("seed", range(4))
def test_landmarks_are_those_of_the_greedy_rule(seed):
    voxels, radius = event(seed), 0.9
    found = find_landmarks(voxels, axes_of(voxels), radius)
    for k in range(len(voxels)):
        rows = np.arange(voxels.starts[k], voxels.starts[k + 1])
        distance = cdist(voxels.positions[rows], voxels.positions[rows])
        free, seeds = np.ones(len(rows), bool), []
        while free.any():
            best = np.where(free, voxels.weights[rows], -1).argmax()
            seeds.append(best)
            free &= distance[best] > radius
        np.testing.assert_array_equal(found.voxels[own(found.starts, k)], rows[seeds])
        chosen = distance[np.arange(len(rows)), np.array(seeds)[found.owners[rows] - found.starts[k]]]
        np.testing.assert_allclose(chosen, distance[:, seeds].min(axis=1))
        for landmark in range(found.starts[k], found.starts[k + 1]):
            mine = rows[found.owners[rows] == landmark]
            expected = np.average(voxels.positions[mine], axis=0, weights=voxels.weights[mine])
            np.testing.assert_allclose(found.positions[landmark], expected)


@pytest.mark.parametrize("seed", range(4))
def test_a_line_is_the_longest_path_of_the_spanning_tree(seed):
    voxels = event(seed, particles=3)
    landmarks = find_landmarks(voxels, axes_of(voxels), 0.5)
    lines = find_lines(landmarks, gap=1e9)
    for k in range(len(voxels)):
        points = landmarks.positions[own(landmarks.starts, k)]
        tree = minimum_spanning_tree(cdist(points, points))
        path = landmarks.positions[lines.landmarks[own(lines.starts, k)]]
        length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
        assert length == pytest.approx(shortest_path(tree, directed=False).max())
        assert len(np.unique(lines.parts[own(landmarks.starts, k)])) == 1


def test_parts_are_what_gaps_separate():
    coordinates = np.array([[x, 0, 0] for x in [*range(10), *range(20, 40), *range(60, 63)]])
    voxels = group_voxels(coordinates, np.ones(len(coordinates)), np.zeros(len(coordinates), int))
    landmarks = find_landmarks(voxels, np.array([[1.0, 0, 0]]), 0.5)
    for gap, parts, expected in ((1.5, 3, [20.5, 39.5]), (11.0, 2, [0.5, 39.5])):
        lines = find_lines(landmarks, gap)
        assert len(np.unique(lines.parts)) == parts
        assert np.sort(landmarks.positions[lines.landmarks[[0, -1]], 0]).tolist() == expected, (
            "a part 9 long is not joined over a gap of 11, nor one of 2 over 21"
        )


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), particles=st.integers(1, 7), spread=st.integers(1, 60), reach=st.floats(0.3, 5))
def test_neighbours_are_those_of_all_pairs(seed, particles, spread, reach):
    voxels = event(seed, particles, voxels=12, spread=spread)
    found = find_neighbours(voxels, find_landmarks(voxels, axes_of(voxels), 0.7), reach)
    count = len(voxels)
    gaps = np.full((count, count), np.inf)
    for a in range(count):
        for b in range(count):
            if a != b:
                gaps[a, b] = cdist(*(voxels.positions[own(voxels.starts, k)] for k in (a, b))).min()
    if count == 1:
        assert np.isnan(found.distance[0])
        assert found.nearest[0] == -1
        return
    np.testing.assert_allclose(found.distance, gaps.min(axis=1))
    np.testing.assert_allclose(gaps[np.arange(count), found.nearest], gaps.min(axis=1))
    expected = {(a, b) for a in range(count) for b in range(a + 1, count) if gaps[a, b] <= reach}
    assert {tuple(pair) for pair in found.pairs.tolist()} == expected
    for (a, b), gap, (i, j) in zip(found.pairs, found.gaps, found.voxels, strict=True):
        assert (voxels.owners[i], voxels.owners[j]) == (a, b)
        assert np.linalg.norm(voxels.positions[i] - voxels.positions[j]) == pytest.approx(gap)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("reach", [0.0, 0.6, 1.5])
def test_meetings_are_those_of_all_voxels(seed, reach):
    voxels = event(seed, 5, voxels=40, spread=6)
    rng = np.random.default_rng(seed)
    pairs, chosen = rng.integers(0, 5, (8, 2)), rng.random(len(voxels.positions)) < 0.7
    near = cdist(voxels.positions, voxels.positions) <= reach + 1e-9
    for wanted in (None, chosen):
        expected = [
            (row, pair)
            for pair, (one, other) in enumerate(pairs)
            for row in np.flatnonzero(voxels.owners == one)
            if near[row, voxels.owners == other].any() and (wanted is None or wanted[row])
        ]
        found = find_meetings(voxels, pairs, reach + 1e-9, wanted)
        assert list(zip(*map(list, found), strict=True)) == expected


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), particles=st.integers(1, 6), spread=st.integers(1, 30))
def test_shares_in_company_are_those_of_all_pairs(seed, particles, spread):
    voxels = event(seed, particles, voxels=15, spread=spread)
    chosen = np.random.default_rng(seed).random(len(voxels.positions)) < 0.6
    near = find_neighbours(voxels, find_landmarks(voxels, axes_of(voxels), 0.7), 3.0)
    found = shares_in_company(voxels, chosen, touched_voxels(voxels, chosen, near))
    touch = (cdist(voxels.positions, voxels.positions) <= 2 * 0.4 + 1e-6) & (voxels.owners[:, None] != voxels.owners)
    for k in range(len(voxels)):
        mine = chosen & (voxels.owners == k)
        assert found[k] == (touch[mine].any(axis=1).mean() if mine.any() else 0)


@given(rows=st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), max_size=40))
def test_matches_are_those_of_sets(rows):
    instances, true_instances = np.array(rows, int).reshape(-1, 2).T
    tables = match_particles(instances, true_instances, np.arange(5), np.arange(5))
    reco = {k: set(np.flatnonzero(instances == k)) for k in range(5)}
    true = {t: set(np.flatnonzero(true_instances == t)) for t in range(5)}
    for table, ours, others, flipped in ((tables[0], reco, true, False), (tables[1], true, reco, True)):
        for row in table:
            mine = ours[row["particle"]]
            best = max(others, key=lambda k: (len(mine & others[k]), -k))
            if not mine & others[best]:
                assert (row["match"], row["purity"], row["efficiency"], row["iou"]) == (-1, 0, 0, 0)
                continue
            assert row["match"] == best
            one, other = (others[best], mine) if flipped else (mine, others[best])
            assert row["purity"] == pytest.approx(len(one & other) / len(one))
            assert row["efficiency"] == pytest.approx(len(one & other) / len(other))
            assert row["iou"] == pytest.approx(len(one & other) / len(one | other))


@given(pairs=st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3)), max_size=30))
def test_the_most_common_value_of_groups(pairs):
    values, owners = np.array(pairs, int).reshape(-1, 2).T
    found = most_common(values, owners, 4)
    for group in range(4):
        members = values[owners == group]
        expected = -1 if not len(members) else min(np.unique(members), key=lambda v: (-(members == v).sum(), v))
        assert found[group] == expected


def test_electron_or_photon_is_bayes_rule():
    """Against the densities of SciPy; what nothing tells is not known."""
    from scipy.stats import expon, t

    def densities(dedx, gap):
        once, twice = (t.pdf(np.log(dedx / peak) / 0.13, 3) / 0.13 for peak in (2.0, 4.1))
        free = expon.pdf(gap, scale=9 / 7 * 14)
        near = 0.9 * 2 * t.pdf(gap / 0.6, 3) / 0.6 + 0.1 * free
        photon, electron = (0.85 * twice + 0.15 * once) * free, (0.9 * once + 0.1 * twice) * near
        return 0.95 * photon + 0.05 * twice * free, 0.95 * electron + 0.05 * twice * free

    dedx, gap = np.array([1.9, 4.2, 2.8, 1.9, 30.0, 0.01]), np.array([0.3, 12.0, 2.0, 25.0, 0.0, 400.0])
    photon, electron = densities(dedx, gap)
    np.testing.assert_allclose(photon_probability(dedx, gap), photon / (photon + electron), rtol=1e-9)
    assert photon_probability(np.array([4.1]), np.array([30.0]))[0] < 0.95, "its start may be wrong"
    nothing = np.full(6, np.nan)
    assert np.isnan(photon_probability(nothing, nothing)).all()
    assert (photon_probability(dedx, nothing)[:2] > 0.5).tolist() == [False, True]
    assert (photon_probability(nothing, gap)[:2] > 0.5).tolist() == [False, True]


def test_a_blob_of_a_few_mev_points_nowhere():
    """Its odds of coming from a point ahead of it are far below those that make it belong there."""
    start, along, point = np.array([10.0, 0, 0]), np.array([1.0, 0, 0]), np.zeros(3)
    blob, shower = (pointing_odds(start, along, float(direction_error(energy)), point) for energy in (1.0, 100.0))
    assert shower > 3 > 1 > blob
