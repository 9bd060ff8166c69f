"""``mlreco simulate`` as a user calls it."""

import json
import resource

import h5py
import numpy as np
import pytest

from mlreco.cli import main
from mlreco.iotools import open_reader

GUNS = ("--particles", "mu-,100:200", "--particles", "gamma,60:90", "--size", "200", "--seed", "4")


@pytest.fixture(scope="module")
def files(geant4, tmp_path_factory):
    """Both modes of the same events."""
    folder = tmp_path_factory.mktemp("simulated")
    words = ["simulate", "-o", str(folder / "new" / "events.h5"), "--events", "4", "--workers", "1", *GUNS]
    assert main([*words, "--mode", "thin,fat"]) == 0
    return {mode: folder / "new" / f"events_{mode}.h5" for mode in ("thin", "fat")}


def contents(path):
    """Every table of a file, as bytes."""
    with h5py.File(path) as file:
        tables = {}
        file.visititems(lambda name, node: tables.update({name: node[()].tobytes()} if hasattr(node, "shape") else {}))
    return tables


def test_what_a_file_holds(files):
    for mode, path in files.items():
        reader = open_reader(path)
        assert len(reader) == 4 and reader.class_scheme == "pilarnet"
        assert json.loads(h5py.File(path).attrs["simulation"])["mode"] == mode
        for event in range(4):
            image, sets = reader.sparse3d(event, "pcluster"), reader.cluster3d(event, "pcluster")
            semantics, particles = reader.sparse3d(event, "pcluster_semantics"), reader.particles(event, "pcluster")
            np.testing.assert_array_equal(image.coordinates, semantics.coordinates)
            order = np.lexsort(sets.coordinates.T[::-1])
            np.testing.assert_array_equal(sets.coordinates[order], image.coordinates)
            np.testing.assert_array_equal(sets.values[order], image.features[:, 0])
            assert len(particles) == sets.num_sets
            np.testing.assert_array_equal(particles["num_voxels"], np.bincount(sets.sets, minlength=sets.num_sets))
            assert image.meta.shape == (200,) * 3 and image.meta.origin == pytest.approx((-30,) * 3)
            assert reader.event_id(event).tolist() == [4, 0, event]
            muon = particles[particles["pdg"] == 13][0]
            assert 100 + 105.6 < muon["energy_init"] < 200 + 105.7
            assert muon["process"] == b"primary" and muon["parent_id"] == -1 and muon["interaction_id"] == 0


def test_events_do_not_depend_on_mode_workers_or_first(files, tmp_path):
    part = tmp_path / "part.h5"
    assert main(["simulate", "-o", str(part), "--events", "2", "--first", "2", "--workers", "2", *GUNS]) == 0
    whole, rest = open_reader(files["thin"]), open_reader(part)
    for event in range(2):
        assert whole.event_id(event + 2).tolist() == rest.event_id(event).tolist()
        one, other = whole.sparse3d(event + 2, "pcluster"), rest.sparse3d(event, "pcluster")
        np.testing.assert_array_equal(one.coordinates, other.coordinates)
        np.testing.assert_array_equal(one.features, other.features)
        np.testing.assert_array_equal(whole.particles(event + 2, "pcluster"), rest.particles(event, "pcluster"))


def test_an_interrupted_production_continues(files, tmp_path, monkeypatch, capsys):
    from mlreco.simulation import production

    class Interrupted(production.Interruption):
        requested = property(lambda self: True, lambda self, value: None)

    words = ["simulate", "-o", str(tmp_path / "events.h5"), "--events", "4", "--workers", "1", *GUNS]
    with monkeypatch.context() as patch:
        patch.setattr(production, "Interruption", Interrupted)
        assert main(words) == 130
    assert "1 of 4 events are written; the same command continues" in capsys.readouterr().err
    assert not (tmp_path / "events.h5").exists()
    assert main([*words[:4], "5", *words[5:]]) == 2
    assert "events.h5.part" in capsys.readouterr().err
    assert main(words) == 0
    said = capsys.readouterr()
    assert "continued after 1 events" in said.err and "4 thin events" in said.out
    assert contents(tmp_path / "events.h5") == contents(files["thin"])


def test_a_full_disk(files, tmp_path, capsys):
    output = tmp_path / "events.h5"
    words = ["simulate", "-o", str(output), "--events", "4", "--workers", "1", *GUNS]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (files["thin"].stat().st_size * 9 // 10, hard))
    try:
        assert main(words) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mlreco: error")]
    assert len(told) == 1 and "events.h5" in told[0]
    assert not output.exists()
    assert main(words) == 0
    assert contents(output) == contents(files["thin"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--events", "0"], "expected a positive integer, not '0'"),
        (["--mode", "thick"], "no mode 'thick'"),
        (["--mode", "thin,"], "no mode ''"),
        (["--particles", "mu,5"], "no particle 'mu'"),
        (["--vertex", "a"], "expected a number or MIN:MAX, not 'a'"),
        (["--vertex", "0", "--rain", "0"], "there is nothing to simulate"),
        (["--options", "missing.yaml"], "missing.yaml"),
        (["--size", "5000"], "the size must be from 1 to 2048"),
    ],
)
def test_mistakes(geant4, tmp_path, capsys, words, message):
    output = tmp_path / "events.h5"
    assert main(["simulate", "-o", str(output), "--events", "2", "--seed", "1", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_geant4(tmp_path, capsys, monkeypatch):
    from importlib import metadata

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert main(["simulate", "-o", str(tmp_path / "events.h5"), "--events", "2", "--seed", "1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mlreco: error: simulating needs Geant4") and said.count("\n") == 1
    assert not list(tmp_path.iterdir())
