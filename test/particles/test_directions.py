"""Directions of tracks are off by what is stated: steps of voxels, scattering, company."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_particles import image_of, line, random_directions, scene

from mlreco.particles.csda import kinetic_energy
from mlreco.particles.directions import (
    ONE_STEP,
    REACH,
    WITHIN,
    StartLines,
    staircase_error,
    staircase_offset,
    start_lines,
)
from mlreco.particles.geometry import weighted_main_axes
from mlreco.particles.grouping import group_voxels
from mlreco.particles.landmarks import find_landmarks
from mlreco.particles.liquid_argon import MASSES, RADIATION_LENGTH
from mlreco.particles.profiles import NEAR
from mlreco.particles.proximity import find_neighbours
from mlreco.particles.reconstruction import LANDMARK_RADIUS, reconstruct_particles
from mlreco.particles.scattering import (
    HIGHLAND,
    PLACES,
    scattering_angle,
    scattering_of_line,
    scattering_of_track,
)
from mlreco.particles.skeleton import find_lines
from mlreco.particles.trajectory import follow


def lines_of(image, assigned=False):
    """Lines at the starts of the particles of an image, in the sense in which their first coordinate grows."""
    voxels = group_voxels(image.coordinates, image.energies, image.instances, image.origin, image.voxel_size)
    axes = weighted_main_axes(voxels.positions, voxels.owners, voxels.weights, len(voxels))
    landmarks = find_landmarks(voxels, axes, LANDMARK_RADIUS)
    paths = follow(voxels, landmarks, find_lines(landmarks), axes)
    backward = paths.ends[:, 0, 0] > paths.ends[:, 1, 0]
    proximity = find_neighbours(voxels, landmarks, 3.0)
    return start_lines(voxels, paths, backward, proximity, np.full(len(voxels), assigned), NEAR)


def momentum_beta(energy, mass):
    return energy * (energy + 2 * mass) / (energy + mass)


def test_scattering_by_hand():
    """A muon of 100 MeV over a radiation length, and over a fourth of it."""
    expected = HIGHLAND / momentum_beta(100, MASSES["muon"])
    assert scattering_angle(100.0, RADIATION_LENGTH, MASSES["muon"]) == pytest.approx(expected)
    assert scattering_angle(100.0, RADIATION_LENGTH / 4, MASSES["muon"]) == pytest.approx(
        expected / 2 * (1 + 0.038 * np.log(0.25))
    )
    assert np.isnan(scattering_angle(np.array([0.0, np.nan, -1.0]), 1.0, 1.0)).all()


def test_an_even_line_has_13_35ths_of_the_variance():
    even = 1 - 3 * PLACES**2 + 2 * PLACES**3
    energies = np.full((1, len(PLACES)), 300.0)
    found = scattering_of_line(energies, MASSES["proton"], np.array([4.0]), even[None])
    whole = scattering_angle(300.0, 4.0, MASSES["proton"])
    assert found**2 == pytest.approx(13 / 35 * whole**2)


def test_what_of_a_turn_is_in_a_line():
    """Of an even track along an axis, in closed form."""
    points, _ = line((-10, 0.05, 0.05), (1, 0, 0), 30)
    found = lines_of(image_of((points, np.full(len(points), 0.021), "MIP")))
    assert found.lengths == pytest.approx(REACH)
    np.testing.assert_allclose(found.turned[0], 1 - 3 * PLACES**2 + 2 * PLACES**3, atol=0.06)


def scattered_path(rng, left, particle, step):
    """A path that begins in a random direction and scatters, (n, 3), and that direction."""
    angles = scattering_angle(kinetic_energy(left, particle), REACH, MASSES[particle]) * np.sqrt(step / REACH)
    slopes = np.cumsum(rng.normal(0, 1, (2, len(left))) * angles, axis=1)
    first, *across = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    steps = first[:, None] + across[0][:, None] * slopes[0] + across[1][:, None] * slopes[1]
    return np.cumsum(step * steps / np.linalg.norm(steps, axis=0), axis=1).T, first


def test_what_a_path_turned_before_its_first_voxel_is_in_the_line():
    turned, before = np.zeros((2, len(PLACES))), np.array([0.0, 0.5])
    found = scattering_of_track(np.full(2, 20.0), before, np.full(2, 4.0), turned, "pion")
    assert found[0] == 0
    assert found[1] == pytest.approx(scattering_angle(kinetic_energy(20.0, "pion"), 0.5, MASSES["pion"]))


@pytest.mark.parametrize("particle", ["muon", "proton"])
def test_scattering_of_lines_is_that_of_random_walks(particle):
    """Lines fitted to paths drawn step by step, of particles that stop soon after and ionise the more.

    Their slopes turn, and where the paths begin they are beside them.
    """
    rng, step, walks = np.random.default_rng(0), 0.02, 4000
    left = np.arange(6.0, 2.0, -step)
    mass, s = MASSES[particle], 6.0 - left
    angles = scattering_angle(kinetic_energy(left, particle), REACH, mass) * np.sqrt(step / REACH)
    heights = np.cumsum(np.cumsum(rng.normal(0, 1, (walks, len(left))) * angles, axis=1), axis=1) * step
    weights = -np.gradient(kinetic_energy(left, particle))
    weights /= weights.sum()
    lever = weights * (s - weights @ s)
    slopes = heights @ lever / (lever @ s)
    turned = np.array([lever @ np.maximum(s - place, 0) / (lever @ s) for place in REACH * PLACES])
    found = scattering_of_track(np.array([6.0]), np.zeros(1), np.array([REACH]), turned[None], particle)
    assert found[0] == pytest.approx(np.std(slopes), rel=4 / np.sqrt(2 * walks))
    beside = heights @ (weights - (weights @ s) * lever / (lever @ s))
    shifted = np.array([weights @ np.maximum(s - place, 0) for place in REACH * PLACES]) - (weights @ s) * turned
    found = scattering_of_track(np.array([6.0]), np.zeros(1), np.array([REACH]), shifted[None], particle)
    assert found[0] == pytest.approx(np.std(beside), rel=4 / np.sqrt(2 * walks))


def test_what_of_a_turn_shifts_a_line_where_it_starts():
    """Of an even track along an axis, in closed form; the first voxel is half filled."""
    points, _ = line((-10, 0.05, 0.05), (1, 0, 0), 30)
    found = lines_of(image_of((points, np.full(len(points), 0.021), "MIP")))
    np.testing.assert_allclose(found.shifted[0], -REACH * PLACES * (1 - PLACES) ** 2, atol=0.12)


def test_the_steps_of_a_staircase():
    """The exact sawtooth of lines drawn at random, for how far the fitted line advances."""
    rng, cells = np.random.default_rng(1), 13
    slopes, offsets = rng.uniform(0, 1, 300_000), rng.uniform(0, 1, 300_000)

    def area(y):  # the integral of floor(y) + 1/2
        whole = np.floor(y)
        return whole**2 / 2 + (whole + 0.5) * (y - whole)

    at = offsets[:, None] + slopes[:, None] * np.arange(cells + 1)
    columns = np.diff(area(at), axis=1) / slopes[:, None]
    lever = np.arange(cells) - (cells - 1) / 2
    fitted = columns @ lever / (lever @ lever)
    error, advanced = fitted - slopes, fitted * cells
    middle = columns.mean(axis=1) - (offsets + slopes * cells / 2)
    assert (
        advanced[(at[:, 0] // 1 + 2 > at[:, -1] // 1) & (at[:, 0] // 1 + 1 == at[:, -1] // 1)].max() < ONE_STEP + 0.02
    )
    for low, high, tolerance in ((0, ONE_STEP, 0.2), (2, 3, 0.1), (3, 6, 0.1), (6, 12, 0.1)):
        chosen = (advanced >= low) & (advanced < high)
        directions = np.stack([np.ones(chosen.sum()), fitted[chosen], np.zeros(chosen.sum())], axis=1)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        along = cells / directions[:, 0]  # in voxels
        stated = staircase_error(directions, along, np.array([1.0, 1.0, 1e-6]))
        turned = error[chosen] * directions[:, 0] ** 2
        expected = np.sqrt(np.mean(turned**2) / 2)
        assert np.sqrt(np.mean(stated**2)) == pytest.approx(expected, rel=tolerance), (low, high)
        beside = np.sqrt(np.mean((middle[chosen] * directions[:, 0]) ** 2) / 2)
        stated = staircase_offset(directions, along, np.array([1.0, 1.0, 1e-6]))
        assert np.sqrt(np.mean(stated**2)) == pytest.approx(beside, rel=2 * tolerance), (low, high)


def test_the_axis_of_a_line_and_the_order_of_axes_do_not_matter():
    directions, lengths = random_directions(50), np.full(50, 4.0)
    size = np.array([0.3, 0.4, 0.5])
    found = staircase_error(directions, lengths, size)
    np.testing.assert_allclose(found, staircase_error(-directions[:, [2, 0, 1]], lengths, size[[2, 0, 1]]))
    np.testing.assert_allclose(found, staircase_error(directions, 10 * lengths, 10 * size))
    assert np.isnan(staircase_error(np.full((1, 3), np.nan), np.ones(1), size)).all()


@pytest.mark.parametrize(("particle", "left"), [("muon", 8.0), ("muon", 100.0), ("proton", 30.0)])
def test_68_per_cent_are_within_the_uncertainty(particle, left):
    """Paths with a known scatter, drawn into voxels."""
    rng, step, pulls, beside = np.random.default_rng(2), 0.02, [], []
    remaining = np.arange(left, max(left - 12, step), -step)
    losses = -np.diff(
        np.append(kinetic_energy(remaining, particle), kinetic_energy(remaining[-1] - step / 2, particle))
    )
    for _ in range(150):
        points, first = scattered_path(rng, remaining, particle, step)
        ahead = np.where([points[-1, 0] > points[0, 0], True, True], 1, -1)
        points, first, moved = points * ahead, first * ahead, rng.uniform(-20, 20, 3)
        row = lines_of(image_of((points + moved, losses, "MIP")))
        scattering = scattering_of_track(np.array([left]), np.zeros(1), row.lengths, row.turned, particle)
        angle = np.arccos(np.clip(row.directions[0] @ first, -1, 1))
        pulls.append(angle / row.errors(scattering)[0])
        scattering = scattering_of_track(np.array([left]), np.zeros(1), row.lengths, row.shifted, particle)
        miss = moved - row.points[0]
        miss -= (miss @ row.directions[0]) * row.directions[0]
        beside.append(np.linalg.norm(miss) / WITHIN / np.hypot(row.aside[0], scattering[0]))
    assert np.quantile(pulls, 0.68) == pytest.approx(1, abs=0.2)
    assert np.quantile(beside, 0.68) == pytest.approx(1, abs=0.2)


def test_company_and_its_assignment_make_directions_less_certain():
    given = scene()
    alone = replace(given, instances=np.where(given.instances == 0, 0, -1))
    apart, together, assigned = lines_of(alone), lines_of(given), lines_of(given, assigned=True)
    assert apart.company[0] == 0 < together.company[0] < assigned.company[0]
    np.testing.assert_array_equal(together.directions, assigned.directions)
    assert together.company[3] == 0
    stated, less_sure = together.errors(np.zeros(4)), assigned.errors(np.zeros(4))
    assert apart.errors(np.zeros(1))[0] < stated[0] < less_sure[0]
    assert apart.aside[0] < together.aside[0] < assigned.aside[0]
    assert stated[3] == less_sure[3]


def test_uncertainties_add_in_quadrature_up_to_a_right_angle():
    one = np.array([0.1])
    nothing = np.ones((1, len(PLACES)))
    found = StartLines(np.ones((1, 3)), one, one, 2 * one, 3 * one, nothing, np.ones((1, 3)), one, nothing)
    assert found.errors(4 * one / 3) == pytest.approx(WITHIN * 0.1 * np.sqrt(1 + 4 + 9 + 16 / 9))
    assert found.errors(100 * one) == np.pi / 2


def test_a_slow_muon_is_less_certain_than_a_fast_one_and_the_table_says_so():
    rows = []
    for length in (5, 60):
        points, travelled = line((-30, 1.1, 2.3), (1, 0.7, 0.4), length)
        left = length - travelled + 0.005
        energies = kinetic_energy(left, "muon") - kinetic_energy(np.maximum(left - 0.01, 0), "muon")
        rows.append(reconstruct_particles(image_of((points, energies, "MIP"))).particles[0])
    slow, fast = (float(row["direction_error"]) for row in rows)
    assert 0.01 < fast < 0.06 < slow < 0.2
