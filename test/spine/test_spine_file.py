"""Our particles read by SPINE's own reader: as tables from the output file, as objects from an export."""

import numpy as np
import pytest

spine_read = pytest.importorskip("spine.io.read")

from mlreco.analysis.spine_file import write_spine_file  # noqa: E402
from mlreco.cli import main  # noqa: E402
from mlreco.iotools import HDF5Reader, HDF5Writer  # noqa: E402
from mlreco.particles.columns import vectors_of  # noqa: E402
from mlreco.particles.particle_builder import ParticleBuilder  # noqa: E402
from mlreco.semantics import PILARNET  # noqa: E402


def an_event(seed, count):
    """Random walks as particles of random classes."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-1, 2, (max(count, 1), 3))
    coordinates = (np.cumsum(steps, axis=0) + 100)[:count]
    coordinates, first = np.unique(coordinates, axis=0, return_index=True)
    fragments = (first * 4 // max(count, 1)).astype(np.int32) - 1
    return {
        "coordinates": coordinates.astype(np.int32).reshape(-1, 3),
        "energies": rng.uniform(0.2, 2, len(coordinates)).astype(np.float32),
        "semantics": np.abs(fragments).astype(np.int8),
        "fragments": fragments,
        "image_shape": np.array([[200, 200, 200]]),
        "image_origin": np.array([[-5.0, 0.0, 5.0]]),
        "voxel_size": np.array([[0.3, 0.3, 0.4]]),
    }


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    path = tmp_path_factory.mktemp("spine") / "out.h5"
    with HDF5Writer(path, {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}) as writer:
        for seed, count in enumerate((120, 0, 300)):
            event = an_event(seed, count)
            writer.append(event | ParticleBuilder()(event, PILARNET))
    return path


def test_tables_of_the_output_file(output):
    theirs = spine_read.HDF5Reader(file_keys=[str(output)])
    with HDF5Reader(output) as ours:
        for index in range(3):
            found, event = theirs.get(index), ours[index]
            for name in ("particles", "interactions", "track_dedx"):
                assert found[name].dtype.names == event[name].dtype.names
                assert found[name].tobytes() == event[name].tobytes()


def test_objects_of_the_export(output, tmp_path):
    assert main(["export", str(output), "--spine", str(tmp_path / "spine.h5")]) == 0
    reader = spine_read.HDF5Reader(file_keys=[str(tmp_path / "spine.h5")])
    assert len(reader) == 3
    with HDF5Reader(output) as ours:
        for index, found in zip((2, 0, 1), reader.get_many([2, 0, 1]), strict=True):
            event = ours[index]
            table, particles = event["particles"], found["reco_particles"]
            assert [type(one).__name__ for one in particles] == ["RecoParticle"] * len(table)
            np.testing.assert_allclose(found["depositions"], event["energies"])
            starts = vectors_of(table, "start")
            for row, start, one in zip(table, starts, particles, strict=True):
                np.testing.assert_array_equal(one.index, np.flatnonzero(event["fragments"] == row["particle"]))
                assert found["depositions"][one.index].sum() == pytest.approx(row["energy"], rel=1e-5)
                np.testing.assert_allclose(one.start_point, start, rtol=1e-6)
                assert one.units == "cm"
                assert one.shape == {0: 1, 1: 1, 2: 0, 3: 3, 4: 2}[row["semantic"]]
                assert one.pid == {-1: -1, 11: 1, 13: 2, 22: 0, 2212: 4}[row["pdg"]]
                assert one.pdg_code in (0, -1, row["pdg"], -row["pdg"])
                assert one.interaction_id == row["interaction"]
                assert one.calo_ke == pytest.approx(row["energy"])
            interactions = found["reco_interactions"]
            assert [one.id for one in interactions] == event["interactions"]["interaction"].tolist()
            for one in interactions:
                assert [particles[k].interaction_id for k in one.particle_ids] == [one.id] * len(one.particle_ids)


def test_points_lie_where_the_voxels_are(output, tmp_path):
    assert write_spine_file(output, tmp_path / "spine.h5") == 3
    found = spine_read.HDF5Reader(file_keys=[str(tmp_path / "spine.h5")]).get(0)
    with HDF5Reader(output) as ours:
        expected = [-5, 0, 5] + (ours[0]["coordinates"] + 0.5) * [0.3, 0.3, 0.4]
    np.testing.assert_allclose(found["points"], expected, rtol=1e-6)


def test_a_file_without_particles_is_one_line(tmp_path, capsys):
    with HDF5Writer(tmp_path / "bare.h5", {"class_scheme": "pilarnet"}) as writer:
        writer.append({"energies": np.ones(3, np.float32)})
    assert main(["export", str(tmp_path / "bare.h5"), "--spine", str(tmp_path / "s.h5")]) == 2
    assert "no product 'coordinates', which SPINE's particles need" in capsys.readouterr().err
    assert not (tmp_path / "s.h5").exists()
