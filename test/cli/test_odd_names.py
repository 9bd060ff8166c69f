"""Names of files that are no UTF-8, and outputs that would replace what a command reads."""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from mlreco.cli import main
from mlreco.config import load_config
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.iotools.skipped import Skipped
from mlreco.semantics import PILARNET

CONFIG = Path(__file__).parents[2] / "config" / "chain.cfg"
GENUINE = Path(__file__).parents[1] / "iotools" / "genuine"


def event(rng, count):
    places = rng.permutation(9 * 7 * 5)[:count]
    return {
        "coordinates": np.stack(np.unravel_index(places, (9, 7, 5)), axis=1).astype(np.int32),
        "energies": rng.random(count).astype(np.float32),
        "semantics": rng.integers(0, 5, count).astype(np.int8),
        "semantics_true": rng.integers(0, 5, count).astype(np.int8),
        "instances_true": rng.integers(-1, 4, count).astype(np.int32),
        "embeddings": rng.normal(size=(count, 3)).astype(np.float32),
        "margins": np.full(count, 0.5, np.float32),
        "seediness": rng.random(count).astype(np.float32),
        "fragments": rng.integers(-1, 3, count).astype(np.int32),
        "event_id": np.array([[1, 0, count]]),
        "source": np.array([[0, 0]]),
        "image_shape": np.array([[9, 7, 5]]),
        "image_origin": np.zeros((1, 3)),
        "voxel_size": np.ones((1, 3)),
    }


@pytest.fixture
def odd(tmp_path):
    """An output file whose name, and those of its inputs, are no UTF-8."""
    name = os.fsdecode(b"caf\xe9\xff ")
    (tmp_path / name).mkdir()
    path, rng = tmp_path / name / f"{name}.h5", np.random.default_rng(0)
    info = {"cfg": load_config(CONFIG).text, "class_scheme": "pilarnet", "classes": list(PILARNET.classes)}
    with HDF5Writer(path, {**info, "source_files": [str(path)], "reclustered_from": str(path)}) as writer:
        for count in (60, 40):
            writer.append(event(rng, count))
        writer.list_skipped([Skipped(str(path), 3, f"because of {name}")])
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["info", "{odd}", "--check"],
        ["evaluate", "{odd}", "--json", "{odd}.json", "--rows", "{odd}.csv"],
        ["display", "{odd}", "-o", "{odd}.html"],
        ["export", "{odd}", "--csv", "{odd}.d"],
        ["recluster", "{odd}", "-o", "{odd}.new.h5"],
        ["report", "{odd}", "-o", "{odd}.html"],
        ["convert", "{odd}", "-o", "{odd}.l3.h5"],
    ],
    ids=lambda words: words[0],
)
def test_names_that_are_no_utf8(odd, words):
    assert main([word.format(odd=odd) for word in words]) == 0


def test_what_an_output_file_tells_of_such_names(odd):
    with HDF5Reader(odd) as reader:
        assert reader.skipped[0].file.endswith(r"caf\udce9\udcff .h5")
        assert reader.info["reclustered_from"].endswith(r"caf\udce9\udcff .h5")


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (["recluster", "{odd}", "-o", "{other}", "--config", "{other}"], "config"),
        (["recluster", "{odd}", "-o", "{other}", "--thresholds", "{other}"], "thresholds"),
        (["evaluate", "{odd}", "--baselines", "greedy", "--thresholds", "{other}", "--json", "{other}"], "thresholds"),
        (["evaluate", "{odd}", "--baseline-values", "{other}", "--rows", "{other}"], "values"),
        (["convert", "{events}", "-o", "{events}"], "events"),
        (["convert", "{list}", "-o", "{events}"], "events"),
        (["convert", "{list}", "-o", "{list}"], "list"),
        (["inference", "{other}", "-s", "{events}", "-o", "{other}"], "config"),
    ],
)
def test_what_a_command_reads_is_not_replaced(odd, tmp_path, capsys, words, target):
    events, listed, other = tmp_path / "events.h5", tmp_path / "list.txt", tmp_path / "other.yaml"
    shutil.copy(GENUINE / "events.h5", events)
    listed.write_text("events.h5\n")
    texts = {"thresholds": "MIP: {seed: 0.5}\n", "values": "dbscan: {MIP: 2.0}\n"}
    other.write_text(texts.get(target, load_config(CONFIG).text))
    before = {path: path.read_bytes() for path in (events, listed, other)}
    assert main([word.format(odd=odd, events=events, list=listed, other=other) for word in words]) == 2
    assert capsys.readouterr().err.count("error:") == 1
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("command", ["recluster", "display", "report", "tune"])
def test_a_device_stays_one(odd, capsys, command):
    assert main([command, str(odd), "-o", "/dev/null"]) == 2
    assert "cannot write /dev/null: it is a device" in capsys.readouterr().err
    assert Path("/dev/null").is_char_device()


def test_a_sidecar_that_declares_more_than_it_holds(tmp_path, capsys):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name, width in (("point", 8), ("cluster", 6)):
            file.create_dataset(name, (1,), h5py.vlen_dtype(np.float32))[0] = np.zeros(0 * width, np.float32)
    np.save(tmp_path / "x_points.npy", np.zeros(1, np.int64))
    assert main(["info", str(path)]) == 0
    content = (tmp_path / "x_points.npy").read_bytes().replace(b"'shape': (1,), ", b"'shape': (9000000000000,), ")
    (tmp_path / "x_points.npy").write_bytes(content)
    capsys.readouterr()
    assert main(["info", str(path)]) == 2
    assert "x_points.npy: cannot be read" in capsys.readouterr().err
