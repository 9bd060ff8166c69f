"""Starts, senses and energies of showers."""

import numpy as np
import pytest
from drawn_particles import STEP, image_of, line, random_directions, shower

from mlreco.errors import UserError
from mlreco.particles.columns import vectors_of
from mlreco.particles.measures import SHOWER_RESPONSE
from mlreco.particles.particle_builder import ParticleBuilder
from mlreco.particles.reconstruction import reconstruct_particles


def test_blobs_far_behind_a_shower_do_not_turn_it():
    """Of others, or of scattered photons: as a chain may put them to it."""
    turned = []
    for seed, axis in enumerate(random_directions(12, seed=4)):
        points, energies = shower((0, 0, 0), axis, 120, seed)
        across = np.cross(axis, [0.3, 0.5, 0.8])
        across /= np.linalg.norm(across)
        blob, _ = line(-8 * axis + 20 * across, axis, 0.3)
        points, energies = np.concatenate([points, blob]), np.append(energies, np.full(len(blob), 2.1 * STEP))
        row = reconstruct_particles(image_of((points, energies, "Shower"))).particles
        turned.append(vectors_of(row, "direction")[0] @ axis < 0)
    assert not any(turned)


def test_the_energy_of_a_shower_is_known_whether_electron_or_photon_is_or_not():
    one, _ = line((1, 1, 1), (1, 0, 0), 0.1)
    row = reconstruct_particles(image_of((one, np.full(len(one), 4.0), "Shower"))).particles[0]
    assert row["pdg"] == -1
    assert np.isnan(row["score_photon"])
    assert row["kinetic_energy"] == pytest.approx(row["energy"] / SHOWER_RESPONSE)


def test_energies_of_showers_are_over_the_response_that_is_given():
    image = image_of((*shower((0, 0, 0), (1, 0.2, 0.3), 120, 1), "Shower"))
    usual, other = (reconstruct_particles(image, **given).particles[0] for given in ({}, {"shower_response": 0.5}))
    assert usual["kinetic_energy"] == pytest.approx(usual["energy"] / SHOWER_RESPONSE)
    assert other["kinetic_energy"] == pytest.approx(2 * usual["energy"])
    assert usual["energy"] == other["energy"]


@pytest.mark.parametrize("value", [0, -0.9, float("nan"), float("inf"), "0.9", True, None])
def test_a_response_that_is_none_is_refused(value):
    with pytest.raises(UserError, match=r"shower_response is .* positive number"):
        ParticleBuilder(shower_response=value)
