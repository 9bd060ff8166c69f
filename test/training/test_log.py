"""The log: means over the interval, no row lost or repeated, what is needed to repeat a run."""

import errno
import json
import math
import shutil

import pytest
from test_training import ROOT, rows, states_equal, tiny_config

from mlreco.checkpoints import read_checkpoint
from mlreco.config import load_config
from mlreco.errors import UserError
from mlreco.training import train
from mlreco.training.interval import Interval
from mlreco.training.log import CSVLog

TIMES = ("titer", "tsum", "tio", "tforward", "tbackward", "events_per_s", "waiting", "memory_gb")


def untimed(table):
    return [{name: value for name, value in row.items() if name not in TIMES} for row in table]


def test_rows_are_means_over_their_interval(tmp_path):
    train(tiny_config(tmp_path / "all", "trainval.iterations=5"))
    train(tiny_config(tmp_path / "some", "trainval.iterations=5", "trainval.report_step=2"))
    single = rows(tmp_path / "all/log/train_log-0000000.csv")
    means = rows(tmp_path / "some/log/train_log-0000000.csv")
    assert [row["iter"] for row in means] == ["2", "4", "5"]
    for row, members in zip(means, (single[:2], single[2:4], single[4:]), strict=True):
        assert (row["lr"], row["epoch"]) == (members[-1]["lr"], members[-1]["epoch"])
        for name in ("loss", "spice_mask", "spice_accuracy_Shower", "gradient_norm"):
            values = [float(member[name]) for member in members]
            assert float(row[name]) == pytest.approx(sum(values) / len(values), rel=1e-4)
        assert 0 < float(row["waiting"]) < 1 and float(row["memory_gb"]) > 0.01
        assert float(row["events_per_s"]) == pytest.approx(2 / float(row["titer"]), rel=1e-3)


def test_numbers_that_are_none_are_left_out_of_their_mean():
    interval = Interval()
    base = dict.fromkeys(("titer", "tio", "tforward", "tbackward", "tsum", "lr", "epoch", "gradient_norm"), 1.0)
    for number, value in enumerate((math.nan, 2.0, 4.0)):
        interval.add({**base, "iter": number, "events": 2, "accuracy_Michel": value, "accuracy_HIP": math.nan})
    row = interval.row()
    assert row["accuracy_Michel"] == 3.0 and math.isnan(row["accuracy_HIP"])
    assert interval.state() == {}


def test_a_log_goes_on_where_the_checkpoint_stands(tmp_path):
    options = ["trainval.checkpoint_step=3", "trainval.report_step=2"]
    train(tiny_config(tmp_path / "whole", "trainval.iterations=7", *options))
    train(tiny_config(tmp_path / "parts", "trainval.iterations=5", *options))
    log = tmp_path / "parts/log/train_log-0000000.csv"
    (tmp_path / "parts/weights/snapshot-5.ckpt").unlink()  # as if it had been killed before the last checkpoint
    log.write_bytes(log.read_bytes() + b"6,0.")
    train(tiny_config(tmp_path / "parts", "trainval.iterations=7", *options), resume="latest")
    assert untimed(rows(log)) == untimed(rows(tmp_path / "whole/log/train_log-0000000.csv"))
    assert [path.name for path in log.parent.glob("*.csv")] == [log.name]


class FullDisk:
    """A file of whose rows one is written in part, and then the disk is full."""

    def __init__(self, file, rows):
        self.file, self.left = file, rows

    def write(self, text):
        self.left -= 1
        if self.left >= 0:
            return self.file.write(text)
        if self.left == -1:
            return self.file.write(bytes(text)[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize(("log_name", "rows_before", "done"), [("train_log", 2, 3), ("validation_log", 1, 4)])
def test_a_full_disk_under_a_log_loses_nothing(tmp_path, monkeypatch, log_name, rows_before, done):
    validation = f"trainval.validation={{data_keys: [{ROOT / 'config/sample/thin_sample.h5'}], step: 2, events: 3}}"
    plateau = "trainval.lr_scheduler={name: ReduceLROnPlateau, args: {patience: 0, factor: 0.5, threshold: 0.9}}"
    options = [validation, plateau, "trainval.checkpoint_step=100"]
    whole = train(tiny_config(tmp_path / "whole", "trainval.iterations=6", *options))
    begin = CSVLog.__init__

    def on_a_full_disk(log, *arguments):
        begin(log, *arguments)
        if log.path.name.startswith(log_name):
            log._file = FullDisk(log._file, rows_before)

    monkeypatch.setattr(CSVLog, "__init__", on_a_full_disk)
    with pytest.raises(UserError, match=rf"{log_name}.*the disk is full; saved .*snapshot-{done}.ckpt after {done}"):
        train(tiny_config(tmp_path / "parts", "trainval.iterations=6", *options))
    assert len(rows(tmp_path / f"parts/log/{log_name}-0000000.csv")) == rows_before
    monkeypatch.undo()
    last = train(tiny_config(tmp_path / "parts", "trainval.iterations=6", *options), resume="latest")
    for name in ("train_log", "validation_log"):
        found, expected = (untimed(rows(tmp_path / f"{part}/log/{name}-0000000.csv")) for part in ("parts", "whole"))
        assert found == expected, name
    first, second = read_checkpoint(last), read_checkpoint(whole)
    for part in ("state_dict", "optimizer", "scheduler", "selection", "random"):
        assert states_equal(first[part], second[part]), part


def test_the_log_of_another_folder_is_left_alone(tmp_path):
    last = train(tiny_config(tmp_path, "trainval.iterations=1"))
    before = (tmp_path / "log/train_log-0000000.csv").read_bytes()
    train(tiny_config(tmp_path, "trainval.iterations=2", f"trainval.log_dir={tmp_path}/other"), resume=last)
    assert (tmp_path / "log/train_log-0000000.csv").read_bytes() == before
    assert len(rows(tmp_path / "other/train_log-0000001.csv")) == 1


def test_columns_of_a_continued_log_stay(tmp_path):
    with CSVLog(tmp_path, 0) as log:
        log.record({"iter": 1, "loss": 0.5})
        state = log.state()
        log.record({"iter": 2, "loss": 0.25})
    with CSVLog(tmp_path, 1, state) as log:
        log.record({"iter": 2, "loss": 0.125, "new": 3.0})
    assert rows(log.path) == [{"iter": "1", "loss": "0.5"}, {"iter": "2", "loss": "0.125"}]


def test_a_run_can_be_repeated_from_its_folder_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config/sample/thin_sample.h5", "events.h5")
    weights = train(tiny_config(".", "trainval.iterations=1"))
    options = ["trainval.iterations=2", "trainval.seed=-1", "iotool.dataset.data_keys=[events.h5]"]
    train(tiny_config(tmp_path / "one", *options), weights=weights)
    (config,) = shutil.copytree(tmp_path / "one/log", tmp_path / "folder").glob("*.cfg")
    monkeypatch.chdir(tmp_path / "folder")
    places = [f"trainval.weight_prefix={tmp_path}/two/weights/s", f"trainval.log_dir={tmp_path}/two/log"]
    train(load_config(config, places))
    first, second = (rows(tmp_path / f"{name}/log/train_log-0000000.csv") for name in ("one", "two"))
    assert untimed(first) == untimed(second)
    assert not weights.is_absolute() and str(tmp_path / weights) in config.read_text()
    told = json.loads((tmp_path / "folder/train_log-0000000.json").read_text())
    assert told["runs"][-1]["host"] and told["runs"][0]["versions"]["torch"] and told["data"]["events"] == 20


def test_where_there_is_no_terminal_lines_tell_how_it_goes(tmp_path, capsys):
    train(tiny_config(tmp_path, "trainval.iterations=2"))
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == f"mlreco: log: {tmp_path}/log/train_log-0000000.csv"
    assert last.startswith("mlreco: iteration 2 of 2: loss ") and "events/s" in last and last.endswith("0:00:00 left")


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = ["trainval.tensorboard=true", "trainval.checkpoint_step=2"]
    train(tiny_config(tmp_path, "trainval.iterations=3", *options))
    (tmp_path / "weights/snapshot-3.ckpt").unlink()
    train(tiny_config(tmp_path, "trainval.iterations=4", *options), resume="latest")
    found = EventAccumulator(str(tmp_path / "log")).Reload().Scalars("loss")
    expected = rows(tmp_path / "log/train_log-0000000.csv")
    assert [event.step for event in found] == [1, 2, 3, 4]
    assert [event.value for event in found] == pytest.approx([float(row["loss"]) for row in expected], rel=1e-5)


def test_without_tensorboard_one_line_tells_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'mlreco\[tensorboard\]'"):
        train(tiny_config(tmp_path, "trainval.iterations=1", "trainval.tensorboard=true"))
