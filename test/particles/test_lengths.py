"""Lengths of tracks are right on average, to a fraction of a voxel: what voxels, scatter and kinks do to them."""

import numpy as np
import pytest
from drawn_particles import image_of, line, random_directions, stopping_energies

from mlreco.particles.csda import kinetic_energy
from mlreco.particles.liquid_argon import MASSES, RADIATION_LENGTH
from mlreco.particles.reconstruction import reconstruct_particles
from mlreco.particles.scattering import HIGHLAND, hidden_by_smoothing


def smeared(points, energies, width, rng, copies=6):
    """Points whose energy is spread by a Gaussian, cm."""
    return np.repeat(points, copies, 0) + rng.normal(0, width, (copies * len(points), 3)), np.repeat(energies, copies)


@pytest.mark.parametrize("smearing", [0.0, 0.15])
@pytest.mark.parametrize("particle", ["muon", "proton"])
def test_lengths_are_right_on_average(particle, smearing):
    """Tracks without scattering: their length is their path, but for what scattering would have hidden."""
    rng = np.random.default_rng(5)
    excess = []
    for direction in random_directions(40, seed=3):
        length = rng.uniform(10, 30)
        points, travelled = line(rng.uniform(-20, 20, 3), direction, length)
        energies = stopping_energies(travelled, length, particle)
        if smearing:
            points, energies = smeared(points, energies / 6, smearing, rng)
        row = reconstruct_particles(image_of((points, energies, "MIP"))).particles[0]
        hidden = hidden_by_smoothing(np.array([length]), particle, 1.0, 0.3)[0]
        excess.append(row["length"] - length - hidden)
    error = np.std(excess) / np.sqrt(len(excess))
    assert abs(np.mean(excess)) < 0.03 + 2 * error, (np.mean(excess), error)
    assert np.std(excess) < 0.25


@pytest.mark.parametrize("seed", range(4))
def test_debris_beside_a_track_hardly_lengthens_it(seed):
    """Deposits beside a proton pull at the nodes of its path: those of a path that is not smoothed by a centimetre."""
    rng = np.random.default_rng(seed)
    points, travelled = line((-20, 3, 1), (1, 0.3, 0.2), 45)
    energies = stopping_energies(travelled, 45, "proton")
    aside = points[rng.integers(300, len(points) - 300, 40)] + rng.normal(0, 0.5, (40, 3))
    image = image_of((np.concatenate([points, aside]), np.append(energies, np.full(40, 0.4)), "HIP"))
    assert reconstruct_particles(image).particles["length"][0] == pytest.approx(45, abs=0.5)


@pytest.mark.parametrize("particle", ["muon", "proton"])
def test_what_smoothing_hides_is_that_of_random_walks(particle):
    """Paths that scatter, drawn step by step, against the formula; both far from where they stop."""
    rng = np.random.default_rng(0)
    step, far, near, walks = 0.02, 12.0, 2.0, 600
    left = np.arange(far, near, -step)
    energy, mass = kinetic_energy(left, particle), MASSES[particle]
    momentum_beta = energy * (energy + 2 * mass) / (energy + mass)
    plane = HIGHLAND / momentum_beta * (1 + 0.038 * np.log(1 / RADIATION_LENGTH)) * np.sqrt(step / RADIATION_LENGTH)
    slopes = np.cumsum(rng.normal(0, 1, (walks, 2, len(left))) * plane, axis=2)
    ahead = np.sqrt(np.maximum(1 - (slopes**2).sum(axis=1), 0))
    points = np.cumsum(np.stack([slopes[:, 0], slopes[:, 1], ahead], axis=2), axis=1) * step
    nodes = points.reshape(walks, -1, round(1 / step), 3).mean(axis=2)
    smooth = (nodes[:, :-2] + 2 * nodes[:, 1:-1] + nodes[:, 2:]) / 4
    lost = (smooth.shape[1] - 1) - np.linalg.norm(np.diff(smooth, axis=1), axis=2).sum(axis=1)
    bounds = np.array([far - 1.5, near + 1.5])
    expected = -np.diff(hidden_by_smoothing(bounds, particle, 1.0, 0.3))[0]
    assert np.mean(lost) == pytest.approx(expected, rel=0.15, abs=3 * np.std(lost) / np.sqrt(walks))
    assert expected > 0.001
