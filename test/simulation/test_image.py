import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlreco.semantics import MLRECO
from mlreco.simulation.geant4 import DEPOSIT, TRACK
from mlreco.simulation.image import _compete, make_image
from mlreco.simulation.modes import DELTA, HIP, MICHEL, MIP, MODES, SHOWER
from mlreco.simulation.particle_table import particle_table
from mlreco.simulation.products import images, rounded
from mlreco.simulation.truth import families

PROCESSES = ("primary", "muIoni", "eBrem", "Decay", "muMinusCaptureAtRest", "conv", "neutronInelastic")
SIZE = 64
THIN, FAT = MODES["thin"], MODES["fat"]


def event(*rows):
    """Deposits and tracks of rows (id, parent, pdg, process, kinetic, start voxel, end voxel): 1 MeV in every voxel."""
    tracks, deposits = np.zeros(len(rows), TRACK), []
    for track, (number, parent, pdg, process, kinetic, start, end) in zip(tracks, rows, strict=True):
        track["id"], track["parent"], track["pdg"], track["kinetic"] = number, parent, pdg, kinetic
        track["process"], track["direction"] = PROCESSES.index(process), (1, 0, 0)
        start, end = (3 * (np.array(place, float) + 0.5 - SIZE / 2) for place in (start, end))
        track["start"], track["end"] = start, end
        if pdg not in (22, 111):
            steps = max(1, round(np.abs(end - start).max() / 3) + 1)
            places = np.linspace(start, end, steps)
            deposits += [(place, place, 1.0, number) for place in places]
    return np.array(deposits, DEPOSIT), tracks


MUON = (1, 0, 13, "primary", 200.0, (5, 20, 20), (35, 20, 20))
DELTA_RAY = (2, 1, 11, "muIoni", 6.0, (15, 21, 20), (15, 31, 20))
MICHEL_ELECTRON = (3, 1, 11, "Decay", 30.0, (35, 21, 20), (35, 41, 20))
RADIATED = (4, 3, 22, "eBrem", 5.0, (35, 30, 20), (45, 30, 20))
COMPTON = (5, 4, 11, "conv", 4.0, (45, 30, 20), (55, 30, 20))


def pictured(rows, mode):
    deposits, tracks = event(*rows)
    family = families(tracks, PROCESSES, mode)
    return make_image(deposits, tracks, family, SIZE, mode), deposits, tracks, family


def test_a_muon_its_delta_and_its_michel_electron_are_three_instances():
    image, *_ = pictured([MUON, DELTA_RAY, MICHEL_ELECTRON], THIN)
    assert image.classes.tolist() == [MIP, DELTA, MICHEL]
    assert np.bincount(image.instances).tolist() == [31, 11, 21]
    assert image.roots.tolist() == [0, 1, 2] and not image.low_energy.any()
    np.testing.assert_allclose(image.deposited, [31, 11, 21])


def test_a_photon_that_a_michel_electron_radiated_is_a_shower_in_thin_and_part_of_it_in_fat():
    rows = [MUON, MICHEL_ELECTRON, RADIATED, COMPTON]
    thin, deposits, tracks, family = pictured(rows, THIN)
    assert thin.classes.tolist() == [MIP, MICHEL, SHOWER]
    table = particle_table(thin, deposits, tracks, family, PROCESSES, np.array([7]))
    assert table["pdg"].tolist() == [13, 11, 22]
    assert table["group_id"].tolist() == table["mcst_index"].tolist() == [0, 1, 1]
    assert table["parent_id"].tolist() == [-1, 0, 1]
    assert table["children_id"].tolist() == [[1], [2], [-1]]
    assert table["interaction_id"].tolist() == table["mct_index"].tolist() == [7, 7, 7]
    assert table["num_voxels"].tolist() == [31, 21, 11]
    assert table["parent_pdg"].tolist() == [0, 13, 11] and table["ancestor_trackid"].tolist() == [1, 1, 1]
    assert table["process"].tolist() == [b"primary", b"Decay", b"eBrem"]
    assert table["shape"].tolist() == [1, 2, 0]
    fat, *_ = pictured(rows, FAT)
    assert fat.classes.tolist() == [MIP, MICHEL]


def test_the_photon_begins_where_its_family_deposits():
    image, deposits, tracks, family = pictured([MUON, MICHEL_ELECTRON, RADIATED, COMPTON], THIN)
    table = particle_table(image, deposits, tracks, family, PROCESSES, np.array([0]))
    in_voxels = [(table[name][axis][2] / 0.3 + SIZE / 2 - 0.5) for name in ("first_step", "last_step") for axis in "xy"]
    np.testing.assert_allclose(in_voxels, [45, 30, 55, 30])
    assert table["vtx"]["x"][2] / 0.3 + SIZE / 2 - 0.5 == pytest.approx(35)


@pytest.mark.parametrize(("kinetic", "classes"), [(2.4, [MIP]), (2.6, [MIP, DELTA])])
def test_a_knock_on_electron_is_a_delta_above_the_threshold(kinetic, classes):
    row = (*DELTA_RAY[:4], kinetic, *DELTA_RAY[5:])
    assert pictured([MUON, row], THIN)[0].classes.tolist() == classes


def test_a_delta_that_hardly_leaves_its_track_joins_it():
    beside = (2, 1, 11, "muIoni", 6.0, (15, 21, 20), (15, 22, 20))
    assert pictured([MUON, beside], THIN)[0].classes.tolist() == [MIP]
    longer = (2, 1, 11, "muIoni", 6.0, (15, 21, 20), (15, 23, 20))
    image = pictured([MUON, longer], THIN)[0]
    assert image.classes.tolist() == [MIP, DELTA] and image.low_energy.tolist() == [False, True]
    assert image.mlreco_classes.tolist() == [MLRECO.number("Track"), MLRECO.number("LowE")]


def test_classes_in_both_schemes():
    image = pictured([MUON, DELTA_RAY, MICHEL_ELECTRON], THIN)[0]
    assert image.mlreco_classes.tolist() == [MLRECO.number(name) for name in ("Track", "Delta", "Michel")]
    products = images(image, SIZE)
    one, other = products["sparse3d_pcluster_semantics"], products["sparse3d_pcluster_semantics_mlreco"]
    np.testing.assert_array_equal(one.coordinates, other.coordinates)
    assert {*zip(one.features[:, 0], other.features[:, 0], strict=True)} == {(MIP, 1), (DELTA, 3), (MICHEL, 2)}


def test_an_auger_electron_of_a_captured_muon_is_part_of_it():
    auger = (2, 1, 11, "muMinusCaptureAtRest", 0.5, (35, 21, 20), (35, 30, 20))
    assert pictured([MUON, auger], THIN)[0].classes.tolist() == [MIP]
    in_orbit = (2, 1, 11, "muMinusCaptureAtRest", 30.0, (35, 21, 20), (35, 30, 20))
    assert pictured([MUON, in_orbit], THIN)[0].classes.tolist() == [MIP, MICHEL]


def test_photons_of_a_neutral_pion_are_two_showers_of_one_interaction():
    pion = (1, 0, 111, "primary", 300.0, (20, 20, 20), (20, 20, 20))
    photons = [(n, 1, 22, "Decay", 200.0, (20, 20, 20), (20, y, 20)) for n, y in ((2, 10), (3, 30))]
    pairs = [(n + 2, n, 11, "conv", 150.0, (20, y, 20), (40, y, 20)) for n, y in ((2, 10), (3, 30))]
    image, deposits, tracks, family = pictured([pion, *photons, *pairs], THIN)
    table = particle_table(image, deposits, tracks, family, PROCESSES, np.array([4]))
    assert image.classes.tolist() == [SHOWER, SHOWER]
    assert table["parent_pdg"].tolist() == [111, 111] and table["parent_id"].tolist() == [-1, -1]
    assert table["interaction_id"].tolist() == [4, 4] and table["group_id"].tolist() == [0, 1]


def test_nothing_gives_an_empty_image():
    image, deposits, tracks, family = pictured([], THIN)
    assert len(image) == 0
    assert len(particle_table(image, deposits, tracks, family, PROCESSES, np.zeros(0, int))) == 0
    assert images(image, SIZE)["cluster3d_pcluster"].num_sets == 0


def test_hadrons_of_neutrons_stand_alone_however_small():
    neutron = (2, 1, 2112, "neutronInelastic", 50.0, (35, 20, 20), (35, 40, 20))
    proton = (3, 2, 2212, "neutronInelastic", 5.0, (35, 40, 20), (35, 40, 20))
    deposits, tracks = event(MUON, neutron, proton)
    deposits = deposits[deposits["track"] != 2]
    family = families(tracks, PROCESSES, THIN)
    image = make_image(deposits, tracks, family, SIZE, THIN)
    assert image.classes.tolist() == [MIP, HIP]
    table = particle_table(image, deposits, tracks, family, PROCESSES, np.array([0]))
    assert table["parent_id"].tolist() == [-1, 0]


VOXEL_ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 4), st.sampled_from([0.01, 0.5, 1.0, 3.0])), min_size=1
)


@given(VOXEL_ROWS, st.permutations(range(5)))
def test_a_voxel_goes_to_the_best_class_among_those_with_a_share(rows, ranks):
    unique = sorted({(voxel, owner): energy for voxel, owner, energy in rows}.items())
    voxels, owners = np.array([key for key, _ in unique]).T
    energies = np.array([energy for _, energy in unique])
    got = _compete(voxels, owners, energies, np.array(ranks), 0.1)
    for voxel, total, winner in zip(*got, strict=True):
        members = [(owner, energy) for (v, owner), energy in unique if v == voxel]
        assert total == pytest.approx(sum(energy for _, energy in members))
        key = [(energy < 0.1 * total, ranks[owner], -energy, owner) for owner, energy in members]
        assert winner == min(key)[3]
    assert got[0].tolist() == [voxel for voxel, _ in itertools.groupby(voxels.tolist())]


def test_energies_keep_ten_bits():
    values = np.random.default_rng(0).uniform(0.01, 100, 1000)
    kept = rounded(values)
    assert np.abs(kept / values - 1).max() < 2.0**-11 * 1.01
    assert (kept.view(np.uint32) & ((1 << 13) - 1) == 0).all()
