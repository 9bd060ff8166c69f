"""Particles whose numbers are known in closed form; turned, mirrored and moved."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_particles import STEP, image_of, line, random_directions, scene, shower, stopping_energies

from mlreco.errors import UserError
from mlreco.particles.columns import vectors_of
from mlreco.particles.csda import kinetic_energy, stopping_power
from mlreco.particles.interactions import origins
from mlreco.particles.reconstruction import reconstruct_particles


@pytest.mark.parametrize("direction", random_directions(12))
def test_a_straight_track_of_known_ionisation(direction):
    points, _ = line((-20, -20, -20), direction, 30)
    table = reconstruct_particles(image_of((points, np.full(len(points), 2.1 * STEP), "MIP"))).particles
    assert table["length"][0] == pytest.approx(30, abs=0.5)
    assert table["dedx"][0] == pytest.approx(2.1, rel=0.05)
    assert table["energy"][0] == pytest.approx(63, rel=1e-3)
    ends = np.stack([vectors_of(table, name)[0] for name in ("start", "end")])
    expected = points[[0, -1]]
    if np.linalg.norm(ends[0] - expected[0]) > 5:
        expected = expected[::-1]
    assert np.abs(ends - expected).max() < 0.4
    angle = np.arccos(min(1, vectors_of(table, "direction")[0] @ (expected[1] - expected[0]) / 30))
    assert angle < 3 * table["direction_error"][0]


@pytest.mark.parametrize("particle", ["muon", "proton"])
@pytest.mark.parametrize("direction", random_directions(4, seed=1))
@pytest.mark.parametrize("length", [4, 15, 45])
def test_a_bragg_curve_tells_sense_particle_and_energy(particle, direction, length):
    points, travelled = line((-10, 5, 3), direction, length)
    energies = stopping_energies(travelled, length, particle)
    found = reconstruct_particles(image_of((points, energies, "HIP" if particle == "proton" else "MIP")))
    row = found.particles[0]
    assert np.linalg.norm(vectors_of(found.particles, "start")[0] - points[0]) < 0.5
    assert np.linalg.norm(vectors_of(found.particles, "end")[0] - points[-1]) < 0.5
    assert row["sense_confidence"] > 0.95
    assert row["pdg"] == (2212 if particle == "proton" else 13)
    assert row["stops"] > 0.9
    expected = kinetic_energy(length, particle)
    assert row["kinetic_energy"] == pytest.approx(expected, rel=0.1 if length < 10 else 0.03)
    assert row["energy"] == pytest.approx(expected, rel=0.02)
    assert row["dedx_end"] > row["dedx_start"]
    middle = (found.dedx["residual_range"] > 1) & (found.dedx["distance"] > 1)
    ratio = found.dedx["dedx"][middle] / stopping_power(found.dedx["residual_range"][middle], particle)
    assert np.median(ratio) == pytest.approx(1, abs=0.05 if length > 10 else 0.1)


def test_a_stray_voxel_does_not_lengthen_a_track():
    points, _ = line((0, 0, 0), (1, 2, 0.5), 20)
    alone = image_of((points, np.full(len(points), 0.021), "MIP"))
    far = replace(
        alone,
        coordinates=np.vstack([alone.coordinates, [500, 500, 500]]),
        semantics=np.append(alone.semantics, 1),
        instances=np.append(alone.instances, 0),
        energies=np.append(alone.energies, 2.0),
    )
    one, other = reconstruct_particles(alone).particles, reconstruct_particles(far).particles
    assert other["length"][0] == pytest.approx(one["length"][0], abs=0.05)
    assert other["voxels"][0] == one["voxels"][0] + 1


def test_a_kink_is_followed():
    one, _ = line((0, 0, 0), (1, 0.2, 0.1), 15)
    other, _ = line(one[-1], (-0.3, 1, 0), 12)
    points = np.concatenate([one, other])
    row = reconstruct_particles(image_of((points, np.full(len(points), 0.021), "MIP"))).particles[0]
    assert row["length"] == pytest.approx(27, abs=0.8)
    assert np.linalg.norm(points[0] - points[-1]) < 19


def test_vertex_parents_and_interactions():
    found = reconstruct_particles(scene())
    table = found.particles
    assert table["pdg"].tolist() == [13, 2212, 11, 13]
    assert table["interaction"][0] == table["interaction"][1] == table["interaction"][2] != table["interaction"][3]
    assert table["parent"].tolist() == [-1, -1, 0, -1]
    assert table["primary"].tolist() == [1, 1, 0, 1]
    row = found.interactions[table["interaction"][0]]
    assert np.linalg.norm([row["vertex_x"], row["vertex_y"], row["vertex_z"]]) < 0.4
    assert 0 < row["vertex_spread"] < 1
    assert (row["particles"], row["primaries"]) == (3, 2)
    assert np.isnan(found.interactions["vertex_spread"][table["interaction"][3]])
    assert table["contained"].tolist() == [1, 1, 1, 1]
    assert np.isfinite(table["direction_error"]).all()


def test_directions_in_company_are_less_certain_where_a_network_has_assigned_the_voxels():
    given = scene()
    assigned = replace(given, margins=np.ones(len(given.instances), np.float32))
    rows = [reconstruct_particles(image).particles for image in (given, assigned)]
    errors = [table["direction_error"] for table in rows]
    assert errors[0][1] < errors[1][1]
    np.testing.assert_array_equal(vectors_of(rows[0], "direction"), vectors_of(rows[1], "direction"))
    assert errors[0][3] == errors[1][3]


@pytest.mark.parametrize("seed", range(5))
def test_two_photons_of_known_opening_angle(seed):
    opening = np.deg2rad(50)
    one, other = np.array([1.0, 0, 0]), np.array([np.cos(opening), np.sin(opening), 0])
    muon, _ = line((0, 0, 0), (-1, 0.2, 0.8), 40)
    image = image_of(
        (*shower(12 * one, one, 200, seed), "Shower"),
        (*shower(18 * other, other, 150, seed + 50), "Shower"),
        (muon, np.full(len(muon), 2.1 * STEP), "MIP"),
    )
    table = reconstruct_particles(image).particles
    assert table["interaction"].tolist() == [0, 0, 0]
    assert table["pdg"][:2].tolist() == [22, 22]
    assert table["vertex_distance"][:2] == pytest.approx([12, 18], abs=0.8)
    directions = vectors_of(table, "direction")
    found = np.arccos(directions[0] @ directions[1])
    assert found == pytest.approx(opening, abs=2 * float(np.hypot(*table["direction_error"][:2])))
    assert table["dedx_start"][:2] == pytest.approx([4.2, 4.2], rel=0.15)


def turned(order, signs):
    return np.eye(3)[list(order)] * np.array(signs)[:, None]


def same(one, other, left_out=()):
    for name in one.dtype.names:
        if name[-2:] not in ("_x", "_y", "_z") and name not in left_out:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "turn",
    [
        turned((0, 1, 2), (-1, 1, 1)),
        turned((1, 0, 2), (1, 1, 1)),
        turned((2, 0, 1), (1, -1, 1)),
        turned((2, 1, 0), (-1, -1, -1)),
        turned((1, 2, 0), (-1, 1, -1)),
    ],
)
def test_turning_and_mirroring_the_event_turns_the_particles(turn):
    image = scene()
    other = replace(image, coordinates=np.rint((image.coordinates - 255.5) @ turn.T + 255.5).astype(int))
    one, other = reconstruct_particles(image), reconstruct_particles(other)
    same(one.particles, other.particles)
    for name in ("start", "end", "direction", "centroid"):
        expected = vectors_of(one.particles, name) @ turn.T
        np.testing.assert_allclose(vectors_of(other.particles, name), expected, atol=2e-4, err_msg=name)
    expected = vectors_of(one.interactions, "vertex") @ turn.T
    np.testing.assert_allclose(vectors_of(other.interactions, "vertex"), expected, atol=2e-4)


def test_moving_the_event_moves_the_particles():
    image, shift = scene(), np.array([20, -40, 9])
    one = reconstruct_particles(image)
    other = reconstruct_particles(replace(image, coordinates=image.coordinates + shift))
    same(one.particles, other.particles, ("wall_distance",))
    expected = vectors_of(one.particles, "start") + shift * 0.3
    np.testing.assert_allclose(vectors_of(other.particles, "start"), expected, atol=1e-4)


def test_the_order_of_voxels_and_the_numbers_of_instances_do_not_matter():
    image = scene()
    order = np.random.default_rng(0).permutation(len(image.semantics))
    columns = {name: getattr(image, name)[order] for name in ("coordinates", "semantics", "instances", "energies")}
    columns["instances"] = columns["instances"] * 7 + 3
    one, other = reconstruct_particles(image), reconstruct_particles(replace(image, **columns))
    same(one.particles, other.particles, ("particle", "parent"))
    assert other.particles["particle"].tolist() == [3, 10, 17, 24]
    assert other.particles["parent"].tolist() == [-1, -1, 3, -1]


def test_vertices_of_particles_of_a_network_are_less_certain(monkeypatch):
    true, margins = scene(), np.ones(len(scene().instances), np.float32)
    before = reconstruct_particles(true).interactions
    found = reconstruct_particles(replace(true, margins=margins)).interactions
    monkeypatch.setattr(origins, "MISTAKEN", 1.0)
    assert reconstruct_particles(true).interactions.tobytes() == before.tobytes(), "true ones are not concerned"
    same = reconstruct_particles(replace(true, margins=margins)).interactions
    known = np.isfinite(same["vertex_spread"])
    assert known.sum() == 1
    np.testing.assert_allclose(found["vertex_spread"][known], 1.1 * same["vertex_spread"][known], rtol=1e-6)
    np.testing.assert_array_equal(vectors_of(found, "vertex"), vectors_of(same, "vertex"))


@pytest.mark.parametrize("seed", range(4))
def test_two_photons_without_a_track_make_a_vertex(seed):
    opening = np.deg2rad(40)
    one, other = np.array([0, 0.6, 0.8]), np.array([np.sin(opening), 0.6 * np.cos(opening), 0.8 * np.cos(opening)])
    vertex = np.array([3.0, -12, 5])
    image = image_of(
        (*shower(vertex + 14 * one, one, 250, seed), "Shower"),
        (*shower(vertex + 20 * other, other, 200, seed + 9), "Shower"),
    )
    found = reconstruct_particles(image)
    assert found.particles["interaction"].tolist() == [0, 0]
    assert found.particles["primary"].tolist() == [1, 1]
    miss = np.linalg.norm(vectors_of(found.interactions, "vertex")[0] - vertex)
    assert miss < 4
    assert found.interactions["vertex_spread"][0] > 0


def test_a_stage_that_tells_interactions_is_believed():
    alone = reconstruct_particles(scene())
    together = reconstruct_particles(replace(scene(), interactions=np.array([5, 5, 5, 5])))
    assert together.particles["interaction"].tolist() == [0, 0, 0, 0]
    assert together.particles["primary"].tolist() == [1, 1, 0, 0], "the vertex is that of the two that meet"
    assert together.particles["parent"].tolist() == [-1, -1, 0, -1]
    np.testing.assert_allclose(
        vectors_of(together.interactions, "vertex")[0],
        vectors_of(alone.interactions, "vertex")[alone.particles["interaction"][0]],
        atol=1e-5,
    )
    apart = reconstruct_particles(replace(scene(), interactions=np.array([2, 1, 2, -1])))
    assert len(np.unique(apart.particles["interaction"])) == 3
    assert apart.particles["interaction"][0] == apart.particles["interaction"][2]
    assert apart.particles["primary"].tolist() == [1, 1, 0, 1]
    assert np.isnan(apart.interactions["vertex_spread"]).all()
    with pytest.raises(UserError, match="particle 3 has no row in the interactions of 2 particles"):
        reconstruct_particles(replace(scene(), interactions=np.array([0, 0])))


def test_the_way_that_a_parent_hides_counts():
    """A proton leaves the side of a thick muon, whose voxels hide its first 6 mm."""
    muon, _ = line((-20, 0, 0), (1, 0, 0), 40)
    thick = np.concatenate([muon + np.array([0, y, z]) for y in (-0.3, 0, 0.3) for z in (-0.3, 0, 0.3)])
    proton, travelled = line((0, 0, 0), (0, 1, 0), 12)
    seen = travelled > 0.6
    image = image_of(
        (thick, np.full(len(thick), 2.1 * STEP / 9), "MIP"),
        (proton[seen], stopping_energies(travelled, 12, "proton")[seen], "HIP"),
    )
    table = reconstruct_particles(image).particles
    assert table["parent"].tolist() == [-1, 0]
    chord = np.linalg.norm(vectors_of(table, "end")[1] - vectors_of(table, "start")[1])
    assert chord < 11.7
    assert table["length"][1] == pytest.approx(12, abs=0.35)
