"""From a list of files with bad events in it to the commands that show which events are missing, and why."""

import json

import numpy as np
import pytest
from test_inference import ENERGY, ROOT, TINY, bad_energy, make_event, outside_volume, truncate, weights, write

from mlreco.cli import main
from mlreco.inference import recluster
from mlreco.iotools import HDF5Reader

__all__ = ["weights"]


@pytest.fixture
def sources(tmp_path):
    """Three files: a bad value and a negative energy in the first, an unreadable second, a sound third."""
    events = [make_event(50, 1), bad_energy(np.nan), make_event(0), bad_energy(-0.5), make_event(40, 3)]
    a = write(tmp_path / "a.h5", events)
    b = write(tmp_path / "b.h5", [make_event(30)])
    truncate(b)
    c = write(tmp_path / "c.h5", [make_event(1, 2), make_event(30, 7)])
    return [a, b, c]


def run(capsys, *words):
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


def words(command, sources, *overrides):
    options = [word for text in [*TINY, *overrides] for word in ("--set", text)]
    return [command, ROOT / "config/chain.cfg", "-s", *sources, *options]


@pytest.mark.parametrize("workers", [0, 2])
def test_events_in_are_events_out_and_skipped(tmp_path, weights, capsys, sources, workers):
    output = tmp_path / "out.h5"
    options = [f"iotool.num_workers={workers}", "iotool.batch_size=2", "iotool.on_error=skip"]
    command = [*words("inference", sources, *options), "--weights", weights, "-o", output]
    code, out, err = run(capsys, *command)
    assert code == 0 and "5 of 7 events" in out and out.strip().endswith("2 events and 1 file skipped")
    for text in ("b.h5: the file is truncated", "a.h5: event 1: sparse3d_pcluster: voxel", "a.h5: event 3: 'input_da"):
        assert text in err
    with HDF5Reader(output) as reader:
        assert [event["source"][0].tolist() for event in reader] == [[0, 0], [0, 2], [0, 4], [2, 0], [2, 1]]
        assert [(one.file, one.entry) for one in reader.skipped] == [
            (str(sources[1]), -1),
            (str(sources[0]), 1),
            (str(sources[0]), 3),
        ]
        assert reader.info["events_in"] == len(reader) + reader.info["events_skipped"] == 7
    code, out, _ = run(capsys, "info", output)
    assert code == 0 and f"skipped {sources[0]}: event 3: 'input_data': voxel (" in out and "events_skipped: 2" in out
    code, out, _ = run(capsys, "evaluate", output, "--json", tmp_path / "numbers.json")
    assert code == 0 and "of the input: 2 events and 1 file skipped" in out and f"skipped {sources[1]}: the file" in out
    assert [one["entry"] for one in json.loads((tmp_path / "numbers.json").read_text())["skipped"]] == [-1, 1, 3]
    code, out, _ = run(capsys, "export", output, "--csv", tmp_path / "tables")
    assert code == 0 and "skipped.csv: 3 rows" in out
    lines = (tmp_path / "tables/skipped.csv").read_text().splitlines()
    assert lines[0] == "source_file,source_entry,reason" and lines[2].startswith(f'{sources[0]},1,"sparse3d_pcluster: ')
    thresholds = {"greedy_clusterer": {"thresholds": {"HIP": {"seed": 0.5, "probability": 0.5}}}}
    recluster(output, thresholds, tmp_path / "again.h5")
    with HDF5Reader(tmp_path / "again.h5") as again, HDF5Reader(output) as reader:
        assert again.skipped == reader.skipped


def test_nothing_is_written_where_nothing_can_be_read(tmp_path, weights, capsys):
    source = write(tmp_path / "in.h5", [bad_energy(np.nan), bad_energy(-1.0)])
    command = words("inference", [source], "iotool.num_workers=0", "iotool.on_error=skip")
    code, _, err = run(capsys, *command, "--weights", weights, "-o", tmp_path / "out.h5")
    assert code == 2 and "none of the events can be read; " in err and "in.h5: event" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.h5"]


def test_training_counts_and_tells(tmp_path, capsys, sources):
    overrides = ["iotool.num_workers=0", "iotool.batch_size=2", "iotool.on_error=skip", "iotool.sampler=null"]
    places = [f"trainval.weight_prefix={tmp_path}/w/snapshot", f"trainval.log_dir={tmp_path}/log"]
    outside_volume(write(tmp_path / "d.h5", [make_event(20)]))
    command = words("train", [*sources, tmp_path / "d.h5"], *overrides, *places, "trainval.report_step=1")
    code, _, err = run(capsys, *command, "--iterations", 4)
    assert code == 0
    told = [line for line in err.splitlines() if "skipped" in line]
    assert [line.split("skipped ")[1].split(": ")[0] for line in told] == [
        str(path) for path in (sources[1], sources[0], sources[0], tmp_path / "d.h5")
    ]
    assert f"'{ENERGY}" not in err
    (log,) = (tmp_path / "log").glob("*.csv")
    rows = [line.split(",") for line in log.read_text().splitlines()]
    assert [row[rows[0].index("skipped")] for row in rows[1:]] == ["2", "3", "3", "4"]
    code, _, err = run(capsys, *command, "--iterations", 6, "--resume")
    assert code == 0 and "skipped" not in err
    rows = [line.split(",") for line in log.read_text().splitlines()]
    assert [row[rows[0].index("skipped")] for row in rows[1:]] == ["2", "3", "3", "4", "4", "4"]
