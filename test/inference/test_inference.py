"""From a LArCV3 file to an output file with an untrained network: nothing is dropped, bad input is told in one line."""

from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import pytest

from mlreco.cli import main
from mlreco.config import load_config
from mlreco.errors import UserError
from mlreco.inference import run_inference
from mlreco.iotools import ClusterVoxels, HDF5Reader, LArCV3Writer
from mlreco.iotools.larcv3 import PARTICLE
from mlreco.voxels import EventVoxels, ImageMeta

ROOT = Path(__file__).parents[2]
META = ImageMeta((48, 32, 40), (-1.0, 2.0, 3.0), (0.3, 0.3, 0.3))
TINY = [
    "model.modules.uresnet={filters: 4, depth: 3, reps: 1}",
    "model.modules.spice={filters: 4, depth: 3, reps: 1, semantics: predicted}",
]
ENERGY, CLASSES, INSTANCES = "sparse3d_pcluster", "sparse3d_pcluster_semantics", "cluster3d_pcluster"


def voxels(coordinates, values, meta=META):
    values = np.asarray(values, np.float32).reshape(-1, 1)
    return EventVoxels(np.asarray(coordinates, np.int32).reshape(-1, 3), values, ("pcluster",), meta)


def make_event(size, seed=0, meta=META):
    rng = np.random.default_rng(seed)
    walk = np.unique(np.cumsum(rng.integers(-1, 2, (4 * size + 1, 3)), axis=0) % meta.shape, axis=0)[:size]
    instances = np.sort(rng.integers(0, 2, len(walk))).astype(np.int32)
    energies = rng.exponential(size=len(walk)).astype(np.float32)
    return {
        ENERGY: voxels(walk, energies, meta),
        CLASSES: voxels(walk, instances, meta),
        INSTANCES: ClusterVoxels(walk.astype(np.int32), energies, instances, 2, meta),
        "particle_pcluster": np.zeros(2, PARTICLE),
    }


def write(path, events):
    with LArCV3Writer(path) as writer:
        for number, event in enumerate(events):
            writer.append((7, 0, number), event)
    return path


@pytest.fixture(scope="module")
def weights(untrained_weights):
    return untrained_weights(TINY)


def infer(source, output, weights, *overrides):
    config = load_config(ROOT / "config/chain.cfg", [*TINY, "iotool.num_workers=0", *overrides], sources=[source])
    return run_inference(config, output, weights=weights)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_every_event_comes_out_in_order_also_the_empty_one_and_the_single_voxel(tmp_path, weights, batch_size):
    events = [make_event(50, 1), make_event(0), make_event(1, 2), make_event(80, 3)]
    source = write(tmp_path / "in.h5", events)
    summary = infer(source, tmp_path / "out.h5", weights, f"iotool.batch_size={batch_size}")
    assert summary.events_in == summary.events_out == 4
    with HDF5Reader(tmp_path / "out.h5") as reader:
        assert len(reader) == 4 and reader.info["complete"]
        for number, (event, given) in enumerate(zip(reader, events, strict=True)):
            assert np.array_equal(event["coordinates"], given[ENERGY].coordinates)
            assert np.array_equal(event["energies"], given[ENERGY].features[:, 0])
            assert np.array_equal(event["semantics_true"], given[CLASSES].features[:, 0])
            assert np.array_equal(event["instances_true"], given[INSTANCES].sets)
            assert event["event_id"].tolist() == [[7, 0, number]]
            assert event["source"].tolist() == [[0, number]]
            assert event["image_shape"].tolist() == [[48, 32, 40]]
            assert len(event["fragments"]) == len(given[ENERGY]) and (event["fragments"] >= 0).all()
            np.testing.assert_allclose(event["semantic_scores"].sum(1), 1, rtol=1e-5)


def test_the_output_does_not_depend_on_batches_and_workers(tmp_path, weights):
    source = write(tmp_path / "in.h5", [make_event(60, seed) for seed in range(5)])
    infer(source, tmp_path / "one.h5", weights, "iotool.batch_size=1")
    infer(source, tmp_path / "many.h5", weights, "iotool.batch_size=4", "iotool.num_workers=2")
    with HDF5Reader(tmp_path / "one.h5") as one, HDF5Reader(tmp_path / "many.h5") as many:
        for a, b in zip(one, many, strict=True):
            assert a.keys() == b.keys()
            assert a["particles_true"].tobytes() == b["particles_true"].tobytes()
            for name in set(a) - {"times", "particles_true"}:
                np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_output_does_not_depend_on_the_number_of_threads(tmp_path, weights, set_threads, monkeypatch):
    source = write(tmp_path / "in.h5", [make_event(size, size) for size in (40, 300, 0, 1, 90, 200, 60)])
    names = ("one", "three", "again", "alone")
    for name, threads, together in zip(names, (1, 3, 3, 3), (1000, 1000, 1000, 1), strict=True):
        set_threads(threads)
        monkeypatch.setattr("mlreco.inference.reconstruction.VOXELS_AT_ONCE", together)
        infer(source, tmp_path / f"{name}.h5", weights, "iotool.batch_size=1")
    with ExitStack() as files:
        readers = [files.enter_context(HDF5Reader(tmp_path / f"{name}.h5")) for name in names]
        for one, three, again, alone in zip(*readers, strict=True):
            assert one.keys() == three.keys() == again.keys() == alone.keys()
            for name in set(one) - {"times"}:
                assert three[name].tobytes() == again[name].tobytes(), name
                assert one[name].tobytes() == three[name].tobytes() == alone[name].tobytes(), name


def test_events_of_different_image_sizes(tmp_path, weights):
    shapes = [(48, 32, 40), (20, 21, 22), (96, 96, 96)]
    events = [make_event(40, 4, ImageMeta(shape, (0, 0, 0), (0.3, 0.3, 0.3))) for shape in shapes]
    source = write(tmp_path / "in.h5", events)
    infer(source, tmp_path / "out.h5", weights, "iotool.batch_size=3")
    with HDF5Reader(tmp_path / "out.h5") as reader:
        assert [tuple(event["image_shape"][0]) for event in reader] == shapes


def test_real_data_without_labels(tmp_path, weights):
    events = [{ENERGY: make_event(30, seed)[ENERGY]} for seed in range(2)]
    source = write(tmp_path / "in.h5", events)
    summary = infer(source, tmp_path / "out.h5", weights)
    assert set(summary.left_out) == {"segment_label", "cluster_label"}
    with HDF5Reader(tmp_path / "out.h5") as reader:
        assert "fragments" in reader.products and "instances_true" not in reader.products


def test_true_classes_without_labels_name_the_file_and_the_way_out(tmp_path, weights):
    source = write(tmp_path / "in.h5", [{ENERGY: make_event(30)[ENERGY]}])
    with pytest.raises(UserError) as caught:
        infer(source, tmp_path / "out.h5", weights, "model.modules.spice.semantics=true")
    assert f"{source}: no product '{CLASSES}' (schema key 'segment_label')" in str(caught.value)
    assert "set model.modules.spice.semantics to 'predicted'" in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def run_cli(capsys, *words):
    code = main([str(word) for word in words])
    return code, capsys.readouterr().err


def test_profile_tells_where_the_time_goes(tmp_path, weights, capsys):
    source = write(tmp_path / "in.h5", [make_event(30)])
    words = ["inference", ROOT / "config/chain.cfg", "-s", source, "-o", tmp_path / "out.h5", "--weights", weights]
    words += [word for override in [*TINY, "iotool.num_workers=0"] for word in ("--set", override)]
    assert main([str(word) for word in [*words, "--profile"]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-6:]] == ["stage", "io", "network", "post_processing", "writing", "wall"]


def bad_energy(value):
    event = make_event(20, 5)
    event[ENERGY].features[3, 0] = value
    return event


def outside_volume(path):
    with h5py.File(path, "r+") as file:
        table = file[f"Data/{ENERGY}_group/voxels"]
        rows = table[:]
        rows["id"][5] = 48 * 32 * 40
        table[:] = rows


def duplicate_voxel(path):
    with h5py.File(path, "r+") as file:
        table = file[f"Data/{ENERGY}_group/voxels"]
        rows = table[:]
        rows["id"][5] = rows["id"][4]
        table[:] = rows


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_kind(path):
    path.write_bytes(b"root\x00\x00\xf7\x01" + bytes(200))


@pytest.mark.parametrize(
    ("events", "damage", "message"),
    [
        ([make_event(9, 1), bad_energy(np.nan)], None, "in.h5: event 1"),
        ([bad_energy(-0.5)], None, "in.h5: event 0"),
        ([make_event(20)], outside_volume, "in.h5: event 0"),
        ([make_event(20)], duplicate_voxel, "in.h5: event 0"),
        ([make_event(20)], truncate, "in.h5"),
        ([make_event(20)], other_kind, "in.h5"),
        ([make_event(20)], lambda path: path.unlink(), "in.h5"),
        ([{CLASSES: make_event(20)[CLASSES]}], None, "no product 'sparse3d_pcluster'"),
    ],
    ids=["nan", "negative", "outside", "duplicate", "truncated", "root", "missing", "no product"],
)
def test_bad_files_end_in_one_line_and_leave_nothing(tmp_path, weights, capsys, events, damage, message):
    source = write(tmp_path / "in.h5", events)
    if damage:
        damage(source)
    output = tmp_path / "out.h5"
    words = ["inference", ROOT / "config/chain.cfg", "-s", source, "-o", output, "--weights", weights]
    words += [word for override in [*TINY, "iotool.num_workers=0"] for word in ("--set", override)]
    code, errors = run_cli(capsys, *words)
    assert code == 2
    assert message in errors and len(errors.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path != source) == []


def test_an_input_is_never_replaced(tmp_path, weights, capsys):
    source = write(tmp_path / "in.h5", [make_event(20)])
    content = source.read_bytes()
    words = ["inference", ROOT / "config/chain.cfg", "-s", source, "-o", source, "--weights", weights]
    code, errors = run_cli(capsys, *words, *[word for override in TINY for word in ("--set", override)])
    assert code == 2 and "in.h5: is an input of this command" in errors
    assert source.read_bytes() == content
    output = tmp_path / "out.h5"
    infer(source, output, weights)
    content = output.read_bytes()
    for command in (["evaluate", output, "--json"], ["display", output, "-o"], ["report", output, "-o"]):
        code, errors = run_cli(capsys, *command, output)
        assert code == 2 and "out.h5: is an input of this command" in errors
        assert output.read_bytes() == content


def test_a_stage_without_weights_is_refused(tmp_path):
    source = write(tmp_path / "in.h5", [make_event(20)])
    with pytest.raises(Exception, match="stage 'uresnet' has no weights: give --weights"):
        infer(source, tmp_path / "out.h5", None)


def test_training_needs_the_labels_of_its_loss(tmp_path, capsys):
    source = write(tmp_path / "in.h5", [{ENERGY: make_event(20)[ENERGY]}])
    words = ["train", ROOT / "config/chain.cfg", "-s", source, "--iterations", "1"]
    code, errors = run_cli(capsys, *words)
    assert code == 2 and "segment_label" in errors and "sparse3d_pcluster_semantics" in errors
