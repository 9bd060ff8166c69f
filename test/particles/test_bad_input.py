"""Particles of a voxel or two, lines along an axis, rings, images without energies or geometry."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from drawn_particles import image_of, line, scene, stopping_energies

from mlreco.errors import UserError
from mlreco.particles.columns import vectors_of
from mlreco.particles.csda import kinetic_energy
from mlreco.particles.image import LabelledImage
from mlreco.particles.reconstruction import reconstruct_particles
from mlreco.particles.scattering import hidden_by_smoothing
from mlreco.semantics import MLRECO, PILARNET


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def bare(coordinates, energies=None, semantics=None, instances=None, **more):
    count = len(coordinates)
    semantics = np.full(count, PILARNET.number("MIP")) if semantics is None else semantics
    instances = np.zeros(count, int) if instances is None else instances
    return LabelledImage(PILARNET, np.asarray(coordinates), semantics, instances, energies, **more)


def test_no_particles():
    for image in (bare(np.empty((0, 3), int), np.empty(0)), bare([[1, 2, 3]], np.ones(1), instances=np.array([-1]))):
        found = reconstruct_particles(image)
        assert len(found.particles) == len(found.interactions) == len(found.dedx) == 0


@pytest.mark.parametrize("name", PILARNET.classes)
def test_a_particle_of_one_voxel(name):
    semantics = np.array([PILARNET.number(name)])
    row = reconstruct_particles(bare([[5, 6, 7]], np.array([1.5]), semantics, shape=(10, 10, 10))).particles[0]
    assert (row["voxels"], row["energy"], row["contained"], row["parent"]) == (1, 1.5, 0, -1)
    assert [row["start_x"], row["end_x"], row["centroid_z"]] == pytest.approx([1.65, 1.65, 2.25])
    for unknown in (
        "length",
        "direction_x",
        "direction_error",
        "dedx",
        "range_energy_muon",
        "nearest_distance",
        "vertex_distance",
    ):
        assert np.isnan(row[unknown]), unknown


@pytest.mark.parametrize("name", PILARNET.classes)
def test_a_particle_of_two_voxels(name):
    semantics = np.full(2, PILARNET.number(name))
    row = reconstruct_particles(bare([[5, 6, 7], [5, 6, 8]], np.array([1.0, 1.0]), semantics)).particles[0]
    full = 0.15 if name in ("HIP", "MIP") else 0, "a track that fills its first voxel began at its outer face"
    assert row["length"] == pytest.approx(0.3 + full[0]), full[1]
    assert abs(row["direction_z"]) == pytest.approx(1)
    assert row["contained"] == -1, "the shape of the image is not known"


@pytest.mark.parametrize("axis", range(3))
def test_a_line_along_an_axis(axis):
    coordinates = np.full((101, 3), 50)
    coordinates[:, axis] = np.arange(101)
    row = reconstruct_particles(bare(coordinates, np.full(101, 0.63))).particles[0]
    assert row["length"] == pytest.approx(30.15, abs=1e-4), "to the outer face of the first voxel, which is full"
    assert row["dedx"] == pytest.approx(2.1, rel=1e-3)
    assert abs(row[f"direction_{'xyz'[axis]}"]) == pytest.approx(1, abs=1e-6)


def test_voxels_in_a_corner_of_the_image():
    """One voxel has no direction in which to leave; two leave where they point; whatever their instances."""
    for voxels, length in (([[0, 0, 9]], None), ([[1, 1, 8], [0, 0, 9]], 3**0.5 * 0.45)):
        row = reconstruct_particles(bare(voxels, np.ones(len(voxels)), shape=(10, 10, 10))).particles[0]
        assert np.isnan(row["length"]) if length is None else row["length"] > length
        assert row["contained"] == 0
        assert row["wall_distance"] == pytest.approx(0.15)


def test_a_ring_has_a_length_and_two_ends_that_touch():
    angle = np.linspace(0, 2 * np.pi, 2000)
    ring = np.unique(np.rint(40 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)).astype(int) + 100, axis=0)
    table = reconstruct_particles(bare(ring, np.full(len(ring), 0.6))).particles
    assert table["length"][0] == pytest.approx(2 * np.pi * 12, rel=0.05)
    assert np.linalg.norm(vectors_of(table, "end") - vectors_of(table, "start")) < 3


@pytest.mark.parametrize("energy", [None, 0.0, np.nan, -1.0, np.inf])
@pytest.mark.parametrize("name", PILARNET.classes)
def test_images_without_sensible_energies(energy, name):
    """Geometry is known all the same."""
    points, _ = line((0, 0, 0), (1, 1, 0.3), 40)
    coordinates = image_of((points, np.ones(len(points)), "MIP")).coordinates
    energies = None if energy is None else np.full(len(coordinates), energy)
    table = reconstruct_particles(
        bare(coordinates, energies, np.full(len(coordinates), PILARNET.number(name)))
    ).particles
    extent = np.linalg.norm(np.ptp(coordinates, axis=0)) * 0.3
    chord = np.linalg.norm(vectors_of(table, "end")[0] - vectors_of(table, "start")[0])
    assert chord == pytest.approx(extent, rel=0.05)
    assert np.isfinite(vectors_of(table, "direction")).all()
    for unknown in ("score_proton", "score_photon", "kinetic_energy"):
        assert np.isnan(table[unknown][0]), unknown
    if name in ("HIP", "MIP"):
        assert 0 < table["direction_error"][0] <= np.pi / 2, "tracks scatter as their range says"
    else:
        assert np.isnan(table["direction_error"][0]), "how far others scatter is not known without their energy"
    if name == "MIP":
        path = table["length"] + hidden_by_smoothing(table["length"], "muon", 1.0, 1.0)
        assert table["range_energy_muon"][0] == pytest.approx(kinetic_energy(path, "muon")[0], rel=1e-3)
        assert np.isnan(table["score_proton"][0])


def test_voxels_without_energy_do_not_move_the_median_of_the_others():
    points, _ = line((0, 0, 0), (1, 0.7, -0.8), 40)
    whole = image_of((points, np.full(len(points), 0.021), "MIP"))
    energies = whole.energies.copy()
    energies[::5] = np.nan
    one, other = (
        reconstruct_particles(replace(whole, energies=given)).particles for given in (whole.energies, energies)
    )
    assert np.isnan(other["energy"][0]) and np.isnan(other["kinetic_energy"][0])
    for name in ("dedx", "dedx_start", "dedx_end"):
        assert other[name][0] == pytest.approx(one[name][0], rel=0.15) or np.isnan(other[name][0])
    assert other["dedx"][0] == pytest.approx(2.1, rel=0.1)


@pytest.mark.parametrize("voxel", [(0.1, 0.1, 0.1), (0.3, 0.3, 0.6), (1.0, 0.5, 0.4)])
def test_voxels_of_other_sizes(voxel):
    points, travelled = line((0, 0, 0), (1, 0.7, -0.8), 25)
    image = image_of((points, stopping_energies(travelled, 25, "proton"), "HIP"), voxel=np.array(voxel))
    row = reconstruct_particles(image).particles[0]
    assert row["length"] == pytest.approx(25, abs=1.2 * max(voxel))
    assert row["pdg"] == 2212
    assert row["range_energy_proton"] == pytest.approx(kinetic_energy(25, "proton"), rel=0.04)


@pytest.mark.parametrize("scheme", [PILARNET, MLRECO])
@pytest.mark.parametrize("number", range(-1, 5))
def test_everything_in_one_class(scheme, number):
    image = scene()
    found = reconstruct_particles(replace(image, scheme=scheme, semantics=np.full(len(image.semantics), number)))
    assert len(found.particles) == 4
    assert np.isfinite(vectors_of(found.particles, "start")).all()
    assert set(found.particles["interaction"]) <= set(range(len(found.interactions)))


@pytest.mark.parametrize("name", PILARNET.classes)
def test_everything_in_one_particle(name):
    image = scene()
    semantics = np.full(len(image.semantics), PILARNET.number(name))
    found = reconstruct_particles(replace(image, semantics=semantics, instances=np.zeros(len(semantics), int)))
    assert found.particles["voxels"].tolist() == [len(semantics)]


def test_arrays_that_do_not_fit():
    with pytest.raises(UserError, match="same number of rows"):
        reconstruct_particles(bare([[1, 2, 3]], np.ones(2)))
    with pytest.raises(UserError, match="edges of a voxel"):
        reconstruct_particles(bare([[1, 2, 3]], np.ones(1), voxel_size=(0.3, 0, 0.3)))
    with pytest.raises(UserError, match="no product 'fragments'"):
        LabelledImage.from_products({"coordinates": 1, "semantics": 2}, PILARNET)
