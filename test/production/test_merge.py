"""One file of several outputs: every event once and in order, for every command, and never of other files."""

import json
import os
import pickle
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from production_samples import tiny_config, write_events

import mlreco
from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.inference import run_inference
from mlreco.inference.recluster import recluster
from mlreco.iotools import HDF5Reader, HDF5Writer, OutputEventsReader, open_reader
from mlreco.production import produce
from mlreco.production.merge import merge
from mlreco.semantics import PILARNET

PLAIN = """
import h5py, numpy, sys
with h5py.File(sys.argv[1]) as file:
    for name, group in file["products"].items():
        numpy.save(f"{sys.argv[2]}/{name}.npy", group["values"][()])
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, files, weights):
    folder = tmp_path_factory.mktemp("parts")
    produce(tiny_config(files), folder, weights=weights)
    return folder


@pytest.fixture
def parts(tmp_path, made):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return [tmp_path / f"f{n}.h5" for n in (4, 1, 3, 2)]


def events_of(*paths):
    found = []
    for path in paths:
        with HDF5Reader(path) as reader:
            found += list(reader)
    return found


def same(event, other, but=("source",)):
    assert event.keys() == other.keys()
    assert {name for name in event if event[name].tobytes() != other[name].tobytes()} <= set(but)
    return True


@pytest.mark.parametrize("copy", [False, True])
def test_the_events_are_those_of_the_parts_in_their_order(parts, tmp_path, copy):
    assert merge(tmp_path / "all.h5", parts, copy) == 10
    with HDF5Reader(tmp_path / "all.h5") as reader:
        given = events_of(*parts)
        assert len(reader) == len(given) == 10
        assert all(same(a, b) for a, b in zip(reader, given, strict=True))
        files = json.loads(reader.info["source_files"])
        assert [os.path.basename(name) for name in files] == ["f4.h5", "f1.h5", "f3.h5", "f2.h5"]
        sources = [reader.event(number)["source"][0].tolist() for number in range(10)]
        assert sources == [[f, e] for f, n in enumerate((4, 1, 3, 2)) for e in range(n)]
        assert reader.info["events_in"] == 10 and reader.info["complete"]
        for first, end in ((0, 10), (3, 6), (4, 5), (2, 3), (7, 7), (9, 10)):
            for name, (values, offsets) in reader.range(first, end).items():
                rows = [reader.event(number)[name] for number in range(first, end)]
                assert np.array_equal(np.diff(offsets), [len(one) for one in rows])
                assert not rows or values.tobytes() == np.concatenate(rows).tobytes(), name
        again = pickle.loads(pickle.dumps(reader))
    assert same(again[5], given[5])
    again.close()
    size = (tmp_path / "all.h5").stat().st_size
    if not copy:
        assert size < sum(path.stat().st_size for path in parts)


def test_other_programs_read_the_virtual_tables_from_any_folder(parts, tmp_path):
    merge(tmp_path / "all.h5", parts)
    (tmp_path / "tables").mkdir()
    command = [sys.executable, "-c", PLAIN, str(tmp_path / "all.h5"), str(tmp_path / "tables")]
    subprocess.run(command, cwd="/", check=True)
    with HDF5Reader(tmp_path / "all.h5") as reader:
        for name, (values, _) in reader.range(0, 10).items():
            assert np.load(tmp_path / f"tables/{name}.npy").tobytes() == values.tobytes(), name


def test_commands_that_read_outputs_read_it(parts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [
        ["merge", "all.h5", "manifest.json"],
        ["evaluate", "all.h5"],
        ["display", "all.h5", "-o", "display.html"],
        ["export", "all.h5", "--csv", "csv"],
        ["info", "all.h5"],
        ["info", "--check", "all.h5"],
        ["recluster", "all.h5", "-o", "again.h5"],
    ]
    for command in commands:
        assert main(command) == 0, (command, capsys.readouterr().err)
    assert isinstance(open_reader("all.h5"), OutputEventsReader)
    assert [same(a, b, ("source", "times")) for a, b in zip(events_of("again.h5"), events_of("all.h5"), strict=True)]


def test_what_is_made_of_a_merged_file_stands_for_itself(parts, tmp_path):
    others = {
        "greedy_clusterer": {"thresholds": {name: {"seed": 0.0, "probability": 0.999} for name in PILARNET.classes}}
    }
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name, copy in (("all.h5", False), ("copied.h5", True)):
        merge(tmp_path / name, parts, copy)
        recluster(tmp_path / name, others, tmp_path / f"again_{name}")
        events = mlreco.open(tmp_path / name)
        mlreco.save(tmp_path / f"saved_{name}", [events[number] for number in (7, 2)])
        for made in (f"again_{name}", f"saved_{name}"):
            (tmp_path / made).rename(elsewhere / made)
    again, copied = events_of(elsewhere / "again_all.h5"), events_of(elsewhere / "again_copied.h5")
    assert [same(a, b, ("times",)) for a, b in zip(again, copied, strict=True)]
    given = events_of(*parts)
    assert any(a["fragments"].tobytes() != b["fragments"].tobytes() for a, b in zip(again, given, strict=True))
    for name in ("all.h5", "copied.h5"):
        assert [same(a, given[b]) for a, b in zip(events_of(elsewhere / f"saved_{name}"), (7, 2), strict=True)]


def test_what_is_made_of_an_output_is_none_of_its_production(parts, tmp_path, files, weights):
    shutil.move(parts[1], tmp_path / "old.h5")
    recluster(tmp_path / "old.h5", {"greedy_clusterer": None}, parts[1])
    with pytest.raises(UserError, match=r"f1\.h5: is no output of this production"):
        produce(tiny_config(files), tmp_path, weights=weights)


def test_tables_of_the_merged_file_are_those_of_the_parts(parts, tmp_path, capsys):
    merge(tmp_path / "all.h5", parts)
    merge(tmp_path / "copied.h5", parts, copy=True)
    printed = []
    for name in ("all.h5", "copied.h5"):
        assert main(["evaluate", str(tmp_path / name), "--json", str(tmp_path / "e.json")]) == 0
        printed.append(json.loads((tmp_path / "e.json").read_text().replace(name, "")))
    assert printed[0] == printed[1]


def test_a_part_that_is_gone_or_another_is_told(parts, tmp_path):
    merge(tmp_path / "all.h5", parts)
    kept = parts[2].read_bytes()
    parts[2].unlink()
    with pytest.raises(UserError, match=r"all\.h5: its part f3\.h5 is missing; merge again, or copy"):
        HDF5Reader(tmp_path / "all.h5")
    parts[2].write_bytes(kept + b"\0")
    with pytest.raises(UserError, match=r"its part f3\.h5 is not the file that was merged"):
        HDF5Reader(tmp_path / "all.h5")
    parts[2].write_bytes(kept)
    with h5py.File(parts[2], "r+") as file:
        file["info"].attrs["digest"] = "0" * 64
    with pytest.raises(UserError, match=r"f3\.h5"), HDF5Reader(tmp_path / "all.h5") as reader:
        list(reader)


def test_parts_of_another_kind_are_refused(parts, tmp_path, weights):
    source = write_events(tmp_path / "in/x.h5", 1, run=9)
    run_inference(tiny_config([source], "model.modules.spice.semantics=true"), tmp_path / "x.h5", weights=weights)
    with pytest.raises(UserError, match=r"x\.h5 does not fit .*f1\.h5: they were made with other networks"):
        merge(tmp_path / "all.h5", [parts[1], tmp_path / "x.h5"])
    run_inference(tiny_config([source]), tmp_path / "y.h5", weights=weights, keep=lambda name: name != "margins")
    with pytest.raises(UserError, match=r"y\.h5 does not fit .*f1\.h5: only .*f1\.h5 has the product 'margins'"):
        merge(tmp_path / "all.h5", [parts[1], tmp_path / "y.h5"])
    with pytest.raises(UserError, match=r"x\.h5: not an output file of mlreco; it seems to be LArCV3"):
        merge(tmp_path / "all.h5", [parts[1], source])
    with pytest.raises(UserError, match=r"f1\.h5: is given twice"):
        merge(tmp_path / "all.h5", [parts[1], parts[1]])
    assert not (tmp_path / "all.h5").exists()


def test_parts_elsewhere_are_copied_or_refused(parts, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=r"f4\.h5: lies outside the folder of .*other/all\.h5.*--copy"):
        merge(tmp_path / "other/all.h5", parts)
    assert merge(tmp_path / "other/all.h5", parts, copy=True) == 10
    merge(tmp_path / "all.h5", parts)
    with pytest.raises(UserError, match="is merged itself; give its parts"):
        merge(tmp_path / "twice.h5", [tmp_path / "all.h5"])
    assert merge(tmp_path / "twice.h5", [tmp_path / "all.h5"], copy=True) == 10


def test_a_manifest_stands_for_its_outputs(parts, tmp_path):
    content = bytearray(parts[0].read_bytes())
    content[-1] ^= 1
    parts[0].write_bytes(content)
    with pytest.raises(UserError, match=r"f4\.h5: is not the file that .*manifest\.json lists"):
        merge(tmp_path / "all.h5", [tmp_path / "manifest.json"])
    (tmp_path / "manifest.json").write_text('{"version": 2}')
    with pytest.raises(UserError, match=r"manifest\.json: not a manifest of a production"):
        merge(tmp_path / "all.h5", [tmp_path / "manifest.json"])


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.h5", "a/../../x.h5"])
def test_a_merged_file_cannot_name_files_elsewhere(parts, tmp_path, name):
    merge(tmp_path / "all.h5", parts)
    with h5py.File(tmp_path / "all.h5", "r+") as file:
        listed = json.loads(file["info"].attrs["parts"])
        listed[1]["name"] = name
        file["info"].attrs["parts"] = json.dumps(listed)
    with pytest.raises(UserError, match="lies in the folder of the merged file, or below it"):
        HDF5Reader(tmp_path / "all.h5")


def test_virtual_tables_are_never_followed(parts, tmp_path):
    """What the reader returns are the rows of the parts that the file lists, wherever its virtual tables lead to."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["values"] = np.full(1000, 7.0, np.float32)
    merge(tmp_path / "all.h5", parts)
    with HDF5Reader(tmp_path / "all.h5") as reader:
        before = reader.range(0, 10, ["margins"])["margins"][0]
    with h5py.File(tmp_path / "all.h5", "r+") as file:
        del file["products/margins/values"]
        layout = h5py.VirtualLayout((len(before),), np.float32)
        layout[:] = h5py.VirtualSource(secret, "values", (1000,), np.float32)[: len(before)]
        file["products/margins"].create_virtual_dataset("values", layout)
    with HDF5Reader(tmp_path / "all.h5") as reader:
        assert np.array_equal(reader.range(0, 10, ["margins"])["margins"][0], before)
    with h5py.File(tmp_path / "all.h5", "r+") as file:
        del file["info"].attrs["parts"]
    with pytest.raises(UserError, match="is a virtual table, which is not followed"):
        HDF5Reader(tmp_path / "all.h5")


def test_parts_without_voxels_or_events(tmp_path):
    info = {"class_scheme": "pilarnet"}
    paths = []
    for number, count in enumerate((0, 3, 0)):
        with HDF5Writer(tmp_path / f"{number}.h5", info) as writer:
            writer.append({"energies": np.ones(count, np.float32), "event_id": np.array([[0, 0, number]])})
        paths.append(tmp_path / f"{number}.h5")
    merge(tmp_path / "all.h5", paths)
    with HDF5Reader(tmp_path / "all.h5") as reader:
        assert [len(event["energies"]) for event in reader] == [0, 3, 0]
    with HDF5Writer(tmp_path / "none.h5", info):
        pass
    with pytest.raises(UserError, match=r"none\.h5 has no products"):
        merge(tmp_path / "all.h5", [paths[0], tmp_path / "none.h5"])
