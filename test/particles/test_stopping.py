"""Which particle a track is, and whether it stops: tracks of known dE/dx, that stop, leave the image, or just end."""

import numpy as np
import pytest
from drawn_particles import ORIGIN, SHAPE, STEP, VOXEL, image_of, line, random_directions, stopping_energies

from mlreco.particles.csda import kinetic_energy, stopping_power
from mlreco.particles.profiles import Profiles
from mlreco.particles.reconstruction import reconstruct_particles
from mlreco.particles.stopping import LEFT, PARTICLES, PROTON_ENERGY, expected_steps, stopping_likelihood

MUON, PROTON = 13, 2212


def particle(points, energies, name="MIP"):
    return reconstruct_particles(image_of((points, energies, name))).particles[0]


@pytest.mark.parametrize("length", [2, 4, 8, 15, 30, 60, 120])
@pytest.mark.parametrize("dedx", [1.6, 1.9, 2.1, 2.3])
def test_a_minimum_ionising_track_without_a_rise_is_a_muon_or_pion(length, dedx):
    """Inside the image: it decays in flight, interacts, or goes on in another particle."""
    points, _ = line((-60, 0, 0), (1, 0.4, 0.2), length)
    row = particle(points, np.full(len(points), dedx * STEP))
    assert row["pdg"] == MUON, row["score_proton"]
    assert row["score_proton"] < 0.1
    assert row["stops"] < 0.1
    assert np.isnan(row["kinetic_energy"]), "what it has left is not known"


@pytest.mark.parametrize("left", [20, 100, 300])
@pytest.mark.parametrize("length", [8, 30, 60])
def test_a_muon_that_leaves_the_image(left, length):
    direction = np.array([1, 0.3, 0.2]) / np.linalg.norm([1, 0.3, 0.2])
    wall = -ORIGIN[0]
    points, travelled = line(np.array([wall, 5, 3]) - length * direction, direction, length - STEP)
    row = particle(points, stopping_power(left + length - travelled, "muon") * STEP)
    assert (row["pdg"], row["contained"]) == (MUON, 0)
    assert row["stops"] < 0.1
    assert np.isnan(row["kinetic_energy"])


@pytest.mark.parametrize(("left", "length"), [(5, 8), (20, 8), (5, 30), (20, 30), (50, 30), (50, 60)])
def test_a_proton_that_leaves_or_interacts(left, length):
    points, travelled = line((-30, 0, 0), (1, 0.4, -0.2), length)
    row = particle(points, stopping_power(left + length - travelled, "proton") * STEP, "HIP")
    assert row["pdg"] == PROTON, row["score_proton"]
    assert row["stops"] < 0.1
    assert np.isnan(row["kinetic_energy"])


@pytest.mark.parametrize("length", [1, 2, 4, 8, 30, 100])
@pytest.mark.parametrize(("name", "code"), [("muon", MUON), ("proton", PROTON)])
def test_particles_that_stop_however_short(length, name, code):
    points, travelled = line((-50, 5, 3), (1, 0.2, -0.3), length)
    row = particle(points, stopping_energies(travelled, length, name), "HIP" if name == "proton" else "MIP")
    assert row["pdg"] == code, row["score_proton"]
    assert row["stops"] > 0.5
    assert row["kinetic_energy"] == pytest.approx(kinetic_energy(length, name), rel=0.15 if length < 4 else 0.03)


def test_the_likelihood_is_that_of_a_slow_loop():
    """Two tracks against the formula of the module, term by term; the tails of the long one multiply beyond 1e200."""
    rng = np.random.default_rng(1)
    starts, lengths = np.array([0, 150, 151]), np.array([75.0, 0.5])
    distance = np.append(np.arange(150) * 0.5 + 0.25, 0.25)
    profiles = Profiles(starts, distance, np.full(151, 0.5), rng.uniform(1.5, 9, 151))
    found = stopping_likelihood(profiles, lengths)
    for track, steps in enumerate((range(1, 149), range(150, 151))):
        for kind, name in enumerate(PARTICLES):
            for sense in range(2):
                for place, left in enumerate(LEFT):
                    total = 0.0
                    for step in steps:
                        ahead = (distance[step] if sense else lengths[track] - distance[step]) + left
                        middle = (np.floor(ahead / 0.25) + 0.5) * 0.25
                        mean = stopping_power(middle, name)
                        below = max(middle - 0.25, 0.125)
                        above = middle + 0.25
                        slope = np.log(stopping_power(above, name) / stopping_power(below, name)) / (above - below)
                        median, width = expected_steps(mean, slope)
                        pull = (np.log(profiles.dedx[step]) - median) / width
                        total -= 2.5 * np.log(1 + pull**2 / 4) + np.log(width)
                    assert found.values[track, kind, sense, place] == pytest.approx(0.5 * total, rel=1e-6)


def test_fast_protons_are_rarer_than_fast_muons():
    """At equal likelihood the odds are those of the energies that are left."""
    values = stopping_likelihood(Profiles(np.zeros(2, int), *(np.empty(0),) * 3), np.array([30.0])).values
    values[:] = -np.inf
    values[:, :, :, LEFT.index(300.0)] = 0
    found = type(stopping_likelihood(Profiles(np.zeros(2, int), *(np.empty(0),) * 3), np.array([30.0])))(values)
    muon, proton = 1 / (np.array(LEFT[1:]) + 10), np.exp(-kinetic_energy(np.array(LEFT[1:]), "proton") / PROTON_ENERGY)
    place = LEFT.index(300.0) - 1
    proton = muon * proton
    odds = (proton / proton.sum())[place] / (muon / muon.sum())[place]
    assert found.proton(np.array([False]))[0] == pytest.approx(odds / (1 + odds), rel=1e-9)
    assert odds < 0.01


@pytest.mark.parametrize("direction", [*random_directions(6, seed=8), [1, 0, 0], [0.2, 0.1, 0.97]])
def test_a_track_that_leaves_goes_on_to_the_wall(direction):
    """It ends where it crosses the wall, not in the middle of its last voxel."""
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    low = np.array(ORIGIN)
    high = low + np.array(SHAPE) * VOXEL
    begin = np.array([40.0, -30, 20]) * np.where(direction < 0, -1, 1)
    way = np.nanmin(np.where(direction > 0, high - begin, low - begin) / np.where(direction == 0, np.nan, direction))
    points, travelled = line(begin, direction, way - STEP)
    found = reconstruct_particles(image_of((points, stopping_power(150 - travelled, "muon") * STEP, "MIP")))
    row, leaving = found.particles[0], begin + way * direction
    ends = np.array([[row[f"{end}_{axis}"] for axis in "xyz"] for end in ("start", "end")])
    nearest = ends[np.argmin(np.linalg.norm(ends - leaving, axis=1))]
    walls = np.flatnonzero((np.abs(leaving - low) < 1e-6) | (np.abs(leaving - high) < 1e-6))
    assert nearest[walls] == pytest.approx(leaving[walls], abs=1e-3)
    assert np.linalg.norm(nearest - leaving) < 0.2, "no more than half a voxel aside"
    assert row["length"] == pytest.approx(way, abs=0.25)


def test_a_track_along_a_wall_does_not_leave_there():
    points, travelled = line(np.array([-20.0, ORIGIN[1] + 0.1, 3.0]), (1, 0, 0), 30)
    row = particle(points, stopping_energies(travelled, 30, "muon"))
    assert row["end_y"] == pytest.approx(ORIGIN[1] + VOXEL / 2, abs=0.02)
    assert row["length"] == pytest.approx(30, abs=0.3)
