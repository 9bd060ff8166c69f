import json
import sys

import numpy as np
import pytest

from benchmarks.accuracy import __main__ as accuracy
from benchmarks.accuracy.split_and_joined import split
from mlreco.iotools import HDF5Writer
from mlreco.post_processing.tuning import linked_search
from mlreco.semantics import PILARNET


def make_event(seed, voxels=120):
    """Two straight tracks with embeddings that tell them apart."""
    rng = np.random.default_rng(seed)
    instances = np.repeat([0, 1], voxels // 2).astype(np.int32)
    steps = np.tile(np.arange(voxels // 2), 2)
    coordinates = np.stack([steps, 20 * instances, steps], axis=1).astype(np.int32)
    return {
        "coordinates": coordinates,
        "embeddings": (instances[:, None] + rng.normal(0, 0.05, (voxels, 3))).astype(np.float32),
        "margins": np.full(voxels, 0.15, np.float32),
        "seediness": rng.uniform(0.5, 1, voxels).astype(np.float32),
        "semantics": np.ones(voxels, np.int8),
        "semantics_true": np.ones(voxels, np.int8),
        "instances_true": instances,
    }


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    grid = linked_search.GRID._replace(
        voxel_distance=(2.5, 12.0), embedding_distance=(0.1, 10.0), join_distance=(0.0, 0.4), min_voxels=(1, 5)
    )
    monkeypatch.setattr(linked_search, "GRID", grid)
    paths = tmp_path / "tune.h5", tmp_path / "validation.h5"
    for seed, path in enumerate(paths):
        with HDF5Writer(path, {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}) as writer:
            for number in range(2):
                writer.append(make_event(10 * seed + number))
    return paths


def test_all_clusterers_stand_in_one_table(outputs, tmp_path, monkeypatch, capsys):
    words = ["accuracy", *map(str, outputs), "--name", "made", "-o", str(tmp_path / "results")]
    monkeypatch.setattr(sys, "argv", words)
    accuracy.main()
    found = json.loads((tmp_path / "results" / "clusterers_made.json").read_text())["clusterers"]
    names = ["greedy", "greedy, refined seeds", "greedy, split and joined", "linked", "DBSCAN"]
    assert list(found) == names
    for name in ("linked", "DBSCAN"):
        assert found[name]["classes"]["MIP"]["ari"] == 1
    table = (tmp_path / "results" / "clusterers_made.md").read_text()
    assert all(f"| MIP | {name} |" in table for name in names)
    assert table in capsys.readouterr().out


def test_split_parts_an_instance_where_it_has_a_gap():
    event = make_event(0)
    event["coordinates"][30:60, 2] += 100
    event["embeddings"] = np.zeros((120, 3), np.float32)
    arrays = [event[name] for name in ("coordinates", "embeddings", "margins", "seediness")]
    pieces = split({"seed": 0.5, "probability": 0.1}, 5.0, *arrays)
    np.testing.assert_array_equal(pieces.of_voxel, np.repeat([0, 1, 2], [30, 30, 60]))
