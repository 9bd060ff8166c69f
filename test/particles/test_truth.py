"""True particles of files of other formats, as far as each tells."""

from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

from mlreco.inference.true_particles import TRUE_PARTICLES, numbers_of, with_true_particles
from mlreco.iotools import Reader, open_reader
from mlreco.iotools.larcv3.layout import PARTICLE
from mlreco.iotools.parsers.clusters import parse_cluster3d_clean_full
from mlreco.iotools.parsers.particles import parent_rows
from mlreco.particles.truth import true_particles

GENUINE = Path(__file__).parents[1] / "iotools" / "genuine"
FIELDS = [("id", "u8"), ("parent_id", "u8"), ("trackid", "u4"), ("parent_trackid", "u4")]


def table(*rows):
    return np.array(list(rows), FIELDS)


def truth_of(reader: Reader, index: int, scheme: str = "pilarnet") -> np.ndarray:
    rows, image = reader.particles(index, "pcluster"), reader.sparse3d(index, "pcluster_semantics")
    labels = parse_cluster3d_clean_full(reader.cluster3d(index, "pcluster"), rows, None, image, class_scheme=scheme)
    columns = dict(zip(labels.columns, labels.features.T, strict=True))
    arrays = columns["cluster"].astype(int), columns["semantic"].astype(int), columns["value"]
    return true_particles(rows, *arrays, numbers=numbers_of(rows))


def test_parents_by_id_by_track_and_none():
    unset = np.iinfo(np.uint64).max
    rows = table((7, 7, 1, 0), (9, 7, 5, 2), (11, unset, 6, 5), (12, 500, 8, 77), (13, unset, 9, 9))
    assert parent_rows(rows).tolist() == [-1, 0, 1, -1, -1], "a primary's own id and an absent track are no parent"
    assert parent_rows(rows[["trackid", "parent_trackid"]]).tolist() == [-1, -1, 1, -1, -1]
    assert parent_rows(rows[["id", "parent_id"]]).tolist() == [-1, 0, -1, -1, -1]
    assert parent_rows(np.zeros(3, [("pdg", "i4")])).tolist() == [-1, -1, -1]
    assert parent_rows(rows[:0]).tolist() == []


@pytest.mark.parametrize("name", ["events.h5", "larcv2.root", "larcv2_2018.root"])
def test_files_of_larcv(name):
    with closing(open_reader(GENUINE / name)) as reader, closing(open_reader(GENUINE / "events.h5")) as other:
        for index in range(len(reader)):
            rows, found = reader.particles(index, "pcluster"), truth_of(reader, index)
            expected = truth_of(other, index)
            assert len(found) == len(expected)
            for field in ("voxels", "energy", "semantic", "pdg", "momentum", "start_x", "end_z", "track_id"):
                np.testing.assert_allclose(found[field], expected[field], rtol=1e-5, err_msg=field)
            own = found[: len(rows)]
            np.testing.assert_allclose(own["vertex_y"], rows["vtx"]["y"].astype(np.float32))
            momentum = np.sqrt(sum(rows[axis].astype(float) ** 2 for axis in ("px", "py", "pz")))
            np.testing.assert_allclose(own["momentum"], momentum, rtol=1e-6)
            np.testing.assert_allclose(own["direction_z"] * momentum, np.where(momentum > 0, rows["pz"], np.nan), 1e-5)
            if "interaction_id" in rows.dtype.names:
                assert own["interaction"].tolist() == rows["interaction_id"].tolist()


def test_a_file_of_pilarnet_m(tmp_path):
    """A muon of fragment 4 in group 2, interaction 1, a Michel electron of fragment 7, and a low-energy voxel."""
    points = np.zeros((6, 8), np.float32)
    points[:, 0] = np.arange(6)
    points[:, 3], points[:, 4] = [1, 2, 3, 4, 5, 6], [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    clusters = np.array([[1, -1, -1, -1, 4, -1], [3, 4, 2, 1, 1, 2], [2, 7, 2, 1, 2, 1]], np.float32)
    with h5py.File(tmp_path / "events.h5", "w") as file:
        for name, values in (("point", points), ("cluster", clusters)):
            file.create_dataset(name, (1,), h5py.vlen_dtype(np.float32))[0] = values.ravel()
    with closing(open_reader(tmp_path / "events.h5")) as reader:
        found = truth_of(reader, 0, "mlreco")
    assert found["voxels"].tolist() == [3, 2]
    assert found["pdg"].tolist() == [13, 11]
    assert found["shape"].tolist() == found["semantic"].tolist() == [1, 2]
    assert found["track_id"].tolist() == [4, 7]
    assert found["group"].tolist() == [2, 2]
    assert found["interaction"].tolist() == [1, 1]
    assert found["energy"].tolist() == [9, 11]
    assert found["energy_deposit"].tolist() == [10.5, 12]
    for name in ("parent", "primary", "parent_track_id"):
        assert found[name].tolist() == [-1, -1], name
    for name in ("momentum", "kinetic_energy", "direction_x", "start_x", "end_x", "vertex_x", "length"):
        assert np.isnan(found[name]).all(), name


def test_a_table_without_pdg_parents_or_momenta_is_unknown_there():
    rows = np.zeros(2, [("id", "u8"), ("energy_deposit", "f8")])
    found = true_particles(rows, np.array([0, 1, 1, -1]), None, np.ones(4), numbers_of(rows))
    assert found["voxels"].tolist() == [1, 2]
    assert found["energy"].tolist() == [1, 2]
    assert found["pdg"].tolist() == [0, 0]
    for name in ("parent", "primary", "group", "interaction", "track_id", "shape", "semantic"):
        assert (found[name] == -1).all(), name
    assert np.isnan(found["kinetic_energy"]).all()
    assert np.isnan(found["start_x"]).all()


def test_unknown_numbers_of_a_whole_table_stay_unknown():
    rows = np.zeros(1, PARTICLE)
    for name in PARTICLE.names:
        if PARTICLE[name].kind == "f":
            rows[name] = np.nan
        elif PARTICLE[name].names:
            rows[name] = (np.nan,) * len(PARTICLE[name].names)
    found = true_particles(rows, None, numbers=numbers_of(rows))
    for name in ("momentum", "kinetic_energy", "direction_x", "start_x", "length", "energy_deposit"):
        assert np.isnan(found[name]).all(), name


def test_the_schema_reads_the_particles_of_its_labels():
    schema = {"label": {"parser": "parse_cluster3d_clean_full", "args": {"cluster_event": "cluster3d_other"}}}
    read = with_true_particles({"dataset": {"schema": schema}})["dataset"]["schema"]
    assert read[TRUE_PARTICLES]["args"] == {"particle_event": "particle_other"}


@pytest.mark.parametrize("listed", [0, 2])
def test_numbers_of_instances_may_be_of_any_size(listed):
    large = 2**31 - 1
    rows = np.zeros(listed, PARTICLE) if listed else None
    found = true_particles(rows, np.array([large, 0, large, -1]), np.array([3, 1, 3, 1]), np.array([1.0, 2, 4, 8]))
    assert found["particle"].tolist() == ([0, 1, large] if listed else [0, large])
    assert found["voxels"][found["particle"] != 1].tolist() == [1, 2]
    assert found["energy"][found["particle"] != 1].tolist() == [2, 5]
    assert found["semantic"][found["particle"] != 1].tolist() == [1, 3]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1e200, -1e200, 1e13, np.inf, np.nan])
def test_numbers_that_no_particle_has_are_unknown(value):
    names = ["px", "py", "pz", "energy_init", "energy_deposit", "dist_travel"]
    step = np.dtype([(axis, "f8") for axis in "xyz"])
    rows = np.ones(2, [*((name, "f8") for name in names), ("first_step", step)])
    for name in names:
        rows[name][1] = value
    rows["first_step"]["y"][1] = value
    found = true_particles(rows, np.zeros(3, int), np.zeros(3, int), np.ones(3))
    for name in ("momentum", "direction_x", "kinetic_energy", "energy_deposit", "length", "start_y"):
        assert np.isfinite(found[name][0]) and np.isnan(found[name][1]), name
    assert found["start_x"].tolist() == [1, 1]
