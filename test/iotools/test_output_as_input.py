import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from io_samples import META, SCHEMA, event

from mlreco.cli import main
from mlreco.config import load_config, parse_config
from mlreco.errors import UserError
from mlreco.inference import recluster
from mlreco.iotools import HDF5Reader, HDF5Writer, LArCVDataset, Reader, open_reader
from mlreco.post_processing import cluster_event
from mlreco.semantics import PILARNET

CONFIG = Path(__file__).parents[2] / "config" / "chain.cfg"
THRESHOLDS = {name: {"seed": 0.5, "probability": 0.4} for name in PILARNET.classes}


def make_event(rng, voxels):
    image = event(rng, voxels)["sparse3d_pcluster"]
    order = rng.permutation(voxels)
    return {
        "coordinates": image.coordinates[order],
        "energies": image.features[order, 0],
        "semantics": rng.integers(0, 5, voxels).astype(np.int8),
        "semantics_true": rng.integers(-1, 5, voxels).astype(np.int8),
        "instances_true": rng.integers(-1, 4, voxels).astype(np.int32),
        "embeddings": rng.normal(size=(voxels, 3)).astype(np.float32),
        "margins": np.full(voxels, 0.5, np.float32),
        "seediness": rng.random(voxels).astype(np.float32),
        "fragments": rng.integers(-1, 3, voxels).astype(np.int32),
        "particle_energy": rng.random(2).astype(np.float32),
        "event_id": np.array([[1, 0, voxels]]),
        "source": np.array([[0, 0]]),
        "image_shape": np.array([META.shape]),
        "image_origin": np.array([META.origin]),
        "voxel_size": np.array([META.voxel_size]),
        "times": np.ones((1, 2), np.float32),
    }


@pytest.fixture
def output(tmp_path):
    rng = np.random.default_rng(2)
    events = [make_event(rng, voxels) for voxels in (40, 0, 25)]
    info = {"cfg": "a: 1", "class_scheme": "pilarnet", "classes": list(PILARNET.classes), "thresholds": "{}"}
    with HDF5Writer(tmp_path / "out.h5", info, {"times": ("io", "post_processing")}) as writer:
        for one in events:
            writer.append(one)
    return tmp_path / "out.h5", events


def test_through_the_interface(output):
    path, events = output
    reader = open_reader(path)
    assert isinstance(reader, Reader) and reader.class_scheme == "pilarnet" and len(reader) == 3
    for index, expected in enumerate(events):
        assert reader.event_id(index).tolist() == expected["event_id"][0].tolist()
        order = np.lexsort(expected["coordinates"].T[::-1])
        for producer, name in (("pcluster", "energies"), ("pcluster_semantics", "semantics_true")):
            image = reader.sparse3d(index, producer)
            np.testing.assert_array_equal(image.coordinates, expected["coordinates"][order])
            np.testing.assert_array_equal(image.features[:, 0], expected[name][order])
            assert image.meta == META
        for producer, name in (("pcluster", "instances_true"), ("pcluster_fragments", "fragments")):
            sets = reader.cluster3d(index, producer)
            assert len(sets) == (expected[name] >= 0).sum()
            for number in range(sets.num_sets):
                mine = expected[name][order] == number
                np.testing.assert_array_equal(
                    sets.coordinates[sets.sets == number], expected["coordinates"][order][mine]
                )
                np.testing.assert_array_equal(sets.values[sets.sets == number], expected["energies"][order][mine])


def test_labels(output):
    path, events = output
    arguments = {k: v for k, v in SCHEMA["cluster_label"]["args"].items() if k != "particle_event"}
    schema = {"cluster_label": {"parser": "parse_cluster3d_clean_full", "args": arguments}}
    dataset = LArCVDataset(path, schema)
    for index, expected in enumerate(events):
        order = np.lexsort(expected["coordinates"].T[::-1])
        np.testing.assert_array_equal(
            dataset[index]["cluster_label"].column("cluster"), expected["instances_true"][order]
        )


def test_recluster(output, tmp_path):
    path, events = output
    assert recluster(path, {"greedy_clusterer": {"thresholds": THRESHOLDS}}, tmp_path / "again.h5") == 3
    with HDF5Reader(tmp_path / "again.h5") as reader:
        assert reader.info["cfg"] == "a: 1" and reader.info["post_processors"] == '["greedy_clusterer"]'
        assert '"HIP": {"seed": 0.5' in reader.info["thresholds"]
        assert "particle_energy" not in reader.products and reader.columns == {"times": ("io", "post_processing")}
        for found, expected in zip(reader, events, strict=True):
            arrays = (expected[name] for name in ("semantics", "embeddings", "margins", "seediness"))
            fragments = cluster_event(*arrays, dict.fromkeys(PILARNET.classes, (0.5, 0.4)), PILARNET)
            np.testing.assert_array_equal(found["fragments"], fragments)
            for name in ("coordinates", "energies", "embeddings", "semantics_true", "event_id"):
                np.testing.assert_array_equal(found[name], expected[name])
            assert found["times"][0, 0] == 1 and found["times"][0, 1] != 1


@pytest.fixture
def from_inference(output):
    """The output file with a configuration in it, as an inference writes it."""
    path, events = output
    with h5py.File(path, "a") as file:
        file["info"].attrs["cfg"] = load_config(CONFIG).text
        del file["info"].attrs["digest"]
    return path, events


def test_recluster_command(from_inference, tmp_path, capsys):
    path, events = from_inference
    given = {**THRESHOLDS, "HIP": {"seed": 0.9, "probability": 0.1}}
    file = tmp_path / "tuned: thresholds.yaml"
    file.write_text(yaml.safe_dump(given))
    again = tmp_path / "new" / "again.h5"
    assert main(["recluster", str(path), "-o", str(again), "--thresholds", str(file)]) == 0
    assert capsys.readouterr().out.startswith(f"{again}: 3 events in ")
    with HDF5Reader(again) as reader:
        assert json.loads(reader.info["thresholds"]) == given
        stored = parse_config(reader.info["cfg"], again)
        assert stored["post_processing"]["greedy_clusterer"]["thresholds"] == str(file)
        for found, expected in zip(reader, events, strict=True):
            arrays = (expected[name] for name in ("semantics", "embeddings", "margins", "seediness"))
            pairs = {name: (values["seed"], values["probability"]) for name, values in given.items()}
            np.testing.assert_array_equal(found["fragments"], cluster_event(*arrays, pairs, PILARNET))
    other = tmp_path / "other.h5"
    words = ["recluster", str(again), "-o", str(other), "--set", "post_processing.greedy_clusterer.min_voxels=1000"]
    assert main(words) == 0
    assert all((event["fragments"] == -1).all() for event in HDF5Reader(other))
    assert main(["recluster", str(other), "-o", str(again), "--config", str(CONFIG)]) == 0
    assert any((event["fragments"] >= 0).any() for event in HDF5Reader(again))


def test_thresholds_say_which_clusterer(from_inference, tmp_path):
    path, _ = from_inference
    file, again = tmp_path / "links.yaml", tmp_path / "again.h5"
    file.write_text("MIP: {voxel_distance: 5}\n")
    assert main(["recluster", str(path), "-o", str(again), "--thresholds", str(file)]) == 0
    with HDF5Reader(again) as reader:
        assert json.loads(reader.info["post_processors"]) == ["linked_clusterer"]
        assert json.loads(reader.info["thresholds"])["MIP"]["voxel_distance"] == 5


def test_recluster_finds_thresholds_from_any_folder(output, tmp_path, monkeypatch):
    """Those of the inference beside its configuration, those of the option in the working directory."""
    path, _ = output
    chain, here = tmp_path / "chain", tmp_path / "here"
    chain.mkdir(), here.mkdir()
    (chain / "own.yaml").write_text("MIP: {seed: 0.7, probability: 0.3}\n")
    (here / "given.yaml").write_text("MIP: {seed: 0.8, probability: 0.3}\n")
    (tmp_path / "given.yaml").write_text("MIP: {seed: 0.9, probability: 0.3}\n")  # beside the file that is read
    chosen = "post_processing: {greedy_clusterer: {thresholds: own.yaml}}\n"
    (chain / "my.cfg").write_text(f"include: {CONFIG}\n{chosen}")
    monkeypatch.chdir(tmp_path)
    with h5py.File(path, "a") as file:
        file["info"].attrs["cfg"] = load_config("chain/my.cfg").text
        del file["info"].attrs["digest"]
    monkeypatch.chdir(here)
    for options, seed in (([], 0.7), (["--thresholds", "given.yaml"], 0.8), (["--config", "../chain/my.cfg"], 0.7)):
        assert main(["recluster", str(path), "-o", "again.h5", *options]) == 0
        with HDF5Reader("again.h5") as reader:
            assert json.loads(reader.info["thresholds"])["MIP"]["seed"] == seed


def test_recluster_command_mistakes(from_inference, tmp_path, capsys):
    path, _ = from_inference
    with HDF5Writer(tmp_path / "bare.h5", {"class_scheme": "pilarnet"}) as writer:
        writer.append({"energies": np.ones(3)})
    new = ["-o", str(tmp_path / "new.h5")]
    for words, message in (
        ([path, "-o", path], "out.h5: is an input of this command"),
        ([tmp_path / "bare.h5", *new], "bare.h5: holds no configuration; it is not an output of"),
        ([path, *new, "--set", "trainval.seed=3"], "--set trainval.seed=3: only keys of post_processing matter here"),
        (
            [path, *new, "--set", "post_processing.greedy_clustrer={}"],
            "; did you mean 'greedy_clusterer'",
        ),
        ([path, *new, "--thresholds", tmp_path / "no.yaml"], "no.yaml: no such file"),
        ([tmp_path / "no.h5", *new], "no.h5: no such file"),
    ):
        assert main(["recluster", *map(str, words)]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "new.h5").exists()


def test_mistakes(output, tmp_path):
    path, _ = output
    with pytest.raises(UserError, match=r"out\.h5: is the file to read"):
        recluster(path, {"greedy_clusterer": {}}, path)
    with pytest.raises(UserError, match="no post-processor 'greedy'"):
        recluster(path, {"greedy": {}}, tmp_path / "x.h5")
    with HDF5Writer(tmp_path / "bare.h5", {"class_scheme": "pilarnet"}) as writer:
        writer.append({"energies": np.ones(3)})
    with pytest.raises(UserError, match="GreedyFragments: no product 'semantics'; there are energies"):
        recluster(tmp_path / "bare.h5", {"greedy_clusterer": {}}, tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()
    with pytest.raises(UserError, match="an output file without 'coordinates'"):
        open_reader(tmp_path / "bare.h5")
    with pytest.raises(UserError, match="no product 'particle_a'; the file holds cluster3d_pcluster, cluster3d_"):
        open_reader(path).particles(0, "a")
