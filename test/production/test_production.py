"""Many files, each into an output of its own: nothing done twice, nothing lost, the folder of another refused."""

import csv
import errno
import json
import os
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from production_samples import ROOT, TINY, tiny_config, write_events

from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.inference import run_inference
from mlreco.inputs import file_digest
from mlreco.iotools import HDF5Reader
from mlreco.iotools.output.schema import source_files
from mlreco.leftovers import unfinished_file
from mlreco.models.chain import Chain
from mlreco.production import attempt, produce, read_manifest, run
from mlreco.production.folder import IDENTITY, claim
from mlreco.production.identity import Identity, identity_of
from mlreco.production.inputs import list_inputs, output_names
from mlreco.provenance import versions


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(run, "_PAUSE", 0.0)


@pytest.fixture(scope="module")
def produced(tmp_path_factory, files, weights):
    folder = tmp_path_factory.mktemp("produced") / "out"
    return folder, produce(tiny_config(files), folder, weights=weights)


@pytest.fixture
def out(tmp_path, produced):
    """A copy of the folder of a production that is done."""
    return shutil.copytree(produced[0], tmp_path / "out")


def ids(*outputs):
    found = []
    for path in outputs:
        with HDF5Reader(path) as reader:
            found += [tuple(event["event_id"][0].tolist()) for event in reader]
    return found


def test_every_file_has_its_output_and_every_event_is_in_one(produced, files, weights, tmp_path):
    folder, _ = produced
    assert sorted(path.name for path in folder.glob("*.h5")) == [path.name for path in files]
    assert ids(*(folder / path.name for path in files)) == [(n, 0, i) for n in (1, 2, 3, 4) for i in range(n)]
    run_inference(tiny_config([files[2]]), tmp_path / "alone.h5", weights=weights)
    with HDF5Reader(folder / "f3.h5") as made, HDF5Reader(tmp_path / "alone.h5") as alone:
        assert made.info["complete"] and json.loads(made.info["source_files"]) == [str(files[2])]
        for a, b in zip(made, alone, strict=True):
            assert {name for name in a if a[name].tobytes() != b[name].tobytes()} <= {"times"}


def test_the_manifest_says_what_was_made_of_what(produced, files):
    folder, manifest = produced
    assert read_manifest(folder / "manifest.json") == manifest
    assert manifest.finished and not manifest.failed and not manifest.waiting
    assert [(one.input, one.events_in, one.events_out) for one in manifest.done] == [
        (str(path), n, n) for n, path in enumerate(files, start=1)
    ]
    for one, path in zip(manifest.done, files, strict=True):
        assert one.input_sha256 == file_digest(path) and one.input_bytes == path.stat().st_size
        assert one.output_sha256 == file_digest(folder / one.output)
        assert one.versions["torch"] == versions()["torch"] and one.host and one.date
        assert one.seconds > 0 and "fragments" in one.products
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["status"], row["events_out"]) for row in rows] == [("done", str(n)) for n in (1, 2, 3, 4)]


def test_an_input_that_changes_while_it_is_read_is_read_again(tmp_path, weights, monkeypatch):
    source = write_events(tmp_path / "in/a.h5", 2, run=1)
    calls = []

    def changes_once(*arguments, **options):
        summary = run_inference(*arguments, **options)
        calls.append(source)
        if len(calls) == 1:
            write_events(source, 3, run=2)
        return summary

    monkeypatch.setattr(attempt, "run_inference", changes_once)
    manifest = produce(tiny_config([source]), tmp_path / "none", weights=weights, retries=0)
    assert [(one.kind, one.attempts) for one in manifest.failed] == [("transient", 1)]
    assert manifest.failed[0].reason.endswith("has changed while it was read")
    assert not list((tmp_path / "none").glob("*.h5"))
    calls.clear()
    manifest = produce(tiny_config([source]), tmp_path / "out", weights=weights)
    assert len(calls) == 2 and manifest.finished and manifest.done[0].input_sha256 == file_digest(source)
    assert ids(tmp_path / "out/a.h5") == [(2, 0, 0), (2, 0, 1), (2, 0, 2)]


def test_what_is_done_is_passed_over_and_what_is_missing_is_made(out, files, weights, capsys):
    (out / "f2.h5").unlink()
    (out / "manifest.json").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    manifest = produce(tiny_config(files, "iotool.batch_size=1"), out, weights=weights)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.h5") if path.name != "f2.h5"} == before
    assert manifest.finished and manifest.events_out == 10 and "3 of 4 files done before" in capsys.readouterr().out


def test_an_output_with_a_changed_byte_is_refused(out, files, weights):
    (out / "manifest.json").unlink()
    content = bytearray((out / "f4.h5").read_bytes())
    with HDF5Reader(out / "f4.h5") as reader:
        place = reader._opened()["products/embeddings/values"].id.get_chunk_info(0).byte_offset
    content[place + 40] ^= 16
    (out / "f4.h5").write_bytes(content)
    with pytest.raises(UserError, match=r"f4\.h5: .*'embeddings' cannot be read.*remove it"):
        produce(tiny_config(files), out, weights=weights)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.modules.spice.semantics=true"], r"model\.modules\.spice\.semantics: \"predicted\", here true"),
        (["iotool.on_error=skip"], r"iotool\.on_error"),
    ],
)
def test_the_folder_of_another_production_is_refused(out, files, weights, overrides, said):
    content = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match=rf"out: an output folder of another production \({said}.*another folder"):
        produce(tiny_config(files, *overrides), out, weights=weights)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == content


def test_other_weights_are_another_production(out, files, weights, tmp_path):
    state = torch.load(weights)["state_dict"]
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    state[name].view(-1)[0] += 1e-6
    torch.save({"state_dict": state}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"another production \(other weights\)"):
        produce(tiny_config(files), out, weights=tmp_path / "other.ckpt")
    shutil.copyfile(weights, tmp_path / "copy.ckpt")
    assert produce(tiny_config(files), out, weights=tmp_path / "copy.ckpt").finished


def test_what_stands_in_the_place_of_an_output_is_never_replaced(tmp_path, files, weights):
    (tmp_path / "out").mkdir()
    shutil.copyfile(files[0], tmp_path / "out/f2.h5")
    with pytest.raises(UserError, match=r"f2\.h5: not an output file.*LArCV3.*another folder"):
        produce(tiny_config(files), tmp_path / "out", weights=weights)
    run_inference(tiny_config([files[1]]), tmp_path / "out/f2.h5", weights=weights)
    with pytest.raises(UserError, match=r"f2\.h5: is no output of this production"):
        produce(tiny_config(files), tmp_path / "out", weights=weights)


def test_an_input_that_has_changed_is_told(out, files, weights, tmp_path):
    changed = write_events(tmp_path / "f2.h5", 2, run=77)
    with pytest.raises(UserError, match=r"out/f2\.h5: was made from another file than .*f2\.h5 is now"):
        produce(tiny_config([files[0], changed]), out, weights=weights)


def test_damaged_files_do_not_keep_the_others_from_their_outputs(tmp_path, files, weights, capfd):
    cut = tmp_path / "cut.h5"
    cut.write_bytes(files[3].read_bytes()[:-2000])
    (tmp_path / "text.h5").write_text("no events")
    words = ["inference", ROOT / "config/chain.cfg", *(word for one in TINY for word in ("--set", one))]
    sources = [cut, *files, tmp_path / "text.h5"]
    words += ["--weights", weights, "-s", *sources, "--out-dir", tmp_path / "out"]
    assert main(list(map(str, words))) == 2
    error = capfd.readouterr().err
    assert "2 files could not be reconstructed" in error and f"{cut}: the file is truncated" in error
    manifest = read_manifest(tmp_path / "out/manifest.json")
    assert manifest.finished and manifest.events_out == 10
    assert [(one.kind, one.attempts) for one in manifest.failed] == [("damaged", 1)] * 2
    assert sorted(path.name for path in (tmp_path / "out").glob("*.h5")) == [path.name for path in files]


def test_a_transient_failure_is_tried_again(tmp_path, files, weights, monkeypatch):
    left = {files[1]: 2, files[2]: 9}

    def fails_at_first(path):
        if left.get(path):
            left[path] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return file_digest(path)

    monkeypatch.setattr("mlreco.production.attempt.file_digest", fails_at_first)
    manifest = produce(tiny_config(files), tmp_path / "out", weights=weights, retries=2)
    assert [one.output for one in manifest.done] == ["f1.h5", "f2.h5", "f4.h5"]
    failed = manifest.failed[0]
    assert (failed.input, failed.kind, failed.attempts) == (str(files[2]), "transient", 3)
    assert "Input/output error" in failed.reason


def test_a_full_disk_ends_the_production_and_the_next_goes_on(tmp_path, files, weights, monkeypatch):
    produce(tiny_config(files[:2]), tmp_path / "out", weights=weights)
    with monkeypatch.context() as patch:
        patch.setattr("mlreco.iotools.hdf5file.Sink.write", _full_sink)
        with pytest.raises(UserError, match=r"cannot write .*f3\.h5: the disk is full"):
            produce(tiny_config(files), tmp_path / "out", weights=weights)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.h5")) == ["f1.h5", "f2.h5"]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    manifest = read_manifest(tmp_path / "out/manifest.json")
    assert not manifest.finished and manifest.waiting == (str(files[2]), str(files[3]))
    assert produce(tiny_config(files), tmp_path / "out", weights=weights).events_out == 10


def _full_sink(self, data):
    self._error = OSError(errno.ENOSPC, "No space left on device")
    return memoryview(data).nbytes


def test_bad_lists_of_files(tmp_path, files, weights):
    def refuse(sources, said, folder=tmp_path / "out"):
        with pytest.raises(UserError, match=said):
            produce(tiny_config(sources), folder, weights=weights)
        assert not (tmp_path / "out").exists()

    refuse([files[0], files[1], files[0]], r"f1\.h5: is given twice")
    (tmp_path / "link.h5").symlink_to(files[0])
    refuse([files[0], tmp_path / "link.h5"], r"link\.h5: is the same file as .*f1\.h5")
    refuse([tmp_path / "*.root"], "no file matches")
    refuse([tmp_path / "none.h5"], "no such file")
    refuse([files[0]], "lies in the output folder", files[0].parent)
    output = tmp_path / "made.h5"
    run_inference(tiny_config([files[0]]), output, weights=weights)
    refuse([files[0], output], "one production has files of one kind")


def test_files_whose_names_are_no_utf8(tmp_path, files, weights):
    odd = shutil.copy(files[1], tmp_path / os.fsdecode(b"caf\xe9.h5"))
    run_inference(tiny_config([odd]), tmp_path / "o.h5", weights=weights)
    with HDF5Reader(tmp_path / "o.h5") as reader:
        assert len(reader) == 2 and source_files(reader.info) == [str(tmp_path / "caf\\udce9.h5")]
    with pytest.raises(UserError, match="a name that is no UTF-8, which a manifest cannot hold"):
        produce(tiny_config([odd]), tmp_path / "out", weights=weights)


def test_what_a_killed_process_left_in_a_folder_is_removed(tmp_path):
    handle, left = unfinished_file(tmp_path / IDENTITY)
    os.close(handle)
    claim(tmp_path, Identity(mlreco="1", weights="", settings={}))
    assert not left.exists() and [path.name for path in tmp_path.iterdir()] == [IDENTITY]


def test_a_folder_that_may_not_be_written(tmp_path, files, weights, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file: a file is in the way"):
        produce(tiny_config(files), tmp_path / "file", weights=weights)
    monkeypatch.setattr("mlreco.leftovers.tempfile.mkstemp", _read_only)
    with pytest.raises(UserError, match=r"cannot write .*: the file system is read-only"):
        produce(tiny_config(files), tmp_path / "out", weights=weights)


def _read_only(**where):
    raise OSError(errno.EROFS, "Read-only file system")


def test_two_processes_do_not_share_a_list_of_files(out, files, weights):
    from mlreco.reservation import reserved

    with (
        reserved(out / ".manifest.lock", "another{owner}", "wait"),
        pytest.raises(UserError, match=rf"another process \(process {os.getpid()} on .*\) reconstructs these files"),
    ):
        produce(tiny_config(files), out, weights=weights)


def test_names_of_outputs(tmp_path):
    paths = [tmp_path / name for name in ("a/x.h5", "b/x.h5", "c/y.root", "c/Y.h5", "d/b/x.h5", "b_x.h5")]
    names = output_names(paths)
    assert len({name.casefold() for name in names}) == len(names) and names[0] == "a_x.h5"
    assert output_names(paths[:1]) == ["x.h5"]
    assert output_names(paths) == names
    assert all("/" not in name for name in names)


def test_inputs_of_one_name_keep_their_own_outputs(tmp_path, weights):
    sources = [write_events(tmp_path / f"{folder}/x.h5", 1, run=n) for n, folder in enumerate("ab", start=5)]
    manifest = produce(tiny_config(sources), tmp_path / "out", weights=weights)
    assert [one.output for one in manifest.done] == ["a_x.h5", "b_x.h5"]
    assert ids(tmp_path / "out/a_x.h5", tmp_path / "out/b_x.h5") == [(5, 0, 0), (6, 0, 0)]
    assert [one.output for one in list_inputs(sources, tmp_path / "out")] == ["a_x.h5", "b_x.h5"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shard", "1/2"], "--shard goes with --out-dir"),
        (["--out-dir", "o", "--shard", "0/2"], "no such shard; they are 1/2 to 2/2"),
        (["--out-dir", "o", "--shard", "3/2"], "no such shard"),
        (["--out-dir", "o", "--shard", "a"], "such as 3/20"),
        (["--out-dir", "o", "-n", "3"], "--events does not go with --out-dir"),
        (["--out-dir", "o", "-o", "x.h5"], "--output does not go with --out-dir"),
        (["--out-dir", "o", "--set", "iotool.dataset.event_list=[0]"], "reads a part of the events"),
    ],
)
def test_options_that_do_not_go_together(words, said, capsys, files):
    command = ["inference", str(ROOT / "config/chain.cfg"), "-s", str(files[0]), *words]
    assert main(command) == 2
    assert said in capsys.readouterr().err


def test_thresholds_of_a_stage_are_those_in_their_file(tmp_path, files):
    def settings_of(path):
        apart = f"{{predicted_classes: {path}, true_classes: {{}}}}"
        graph = f"post_processing={{graph_clusterer: {{thresholds: {apart}}}}}"
        config = tiny_config(files, f"model.modules.fragmenter={{thresholds: {path}}}", graph)
        found = SimpleNamespace(chain=Chain.from_config(config["model"]), processors=())
        settings = identity_of(config, found).settings
        values = settings["model"]["modules"]["fragmenter"]["thresholds"]
        apart = settings["post_processing"]["graph_clusterer"]["thresholds"]
        assert apart == {"predicted_classes": values, "true_classes": {}}
        return values

    paths = [tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml")]
    for path, number in zip(paths, (1.5, 1.5, 2.5), strict=True):
        path.write_text(f"MIP: {{voxel_distance: {number}}}\n")
    first, same, other = map(settings_of, paths)
    assert first == same != other and first == {"MIP": {"voxel_distance": 1.5}}


def test_a_module_of_another_package_is_compared_by_its_content(tmp_path, files, monkeypatch):
    def fingerprint_with(factor):
        (tmp_path / "own_stage.py").write_text(
            f"class Scale:\n    def __call__(self, event):\n        return {factor}\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "own_stage", raising=False)
        processor = __import__("own_stage").Scale()
        config = tiny_config(files)
        chain = Chain.from_config(config["model"])
        torch.manual_seed(0)
        chain.load_state_dict({name: torch.zeros_like(value) for name, value in chain.state_dict().items()})
        return identity_of(config, SimpleNamespace(chain=chain, processors=[processor])).fingerprint

    one, same, other = map(fingerprint_with, (1, 1, 2))
    assert one == same != other
