"""Validation in a process of its own: the same numbers, and the training's own unchanged."""

import os
import pickle
import signal
import time

import pytest
from test_training import ROOT, rows, states_equal, tiny_config

from mlreco.checkpoints import read_checkpoint, read_metadata
from mlreco.errors import UserError
from mlreco.interrupt import Stopped
from mlreco.iotools.workers import WaitEnded
from mlreco.pipes import pipes_of
from mlreco.training import train
from mlreco.training.background import BackgroundValidator
from mlreco.training.prefix import checkpoints
from mlreco.training.validation import Validator

SAMPLE = ROOT / "config/sample/thin_sample.h5"


def validation(background, step=2, more=""):
    return f"trainval.validation={{data_keys: [{SAMPLE}], step: {step}, events: 4, background: {background}{more}}}"


def log_of(folder, name="validation_log"):
    return rows(folder / f"log/{name}-0000000.csv")


def test_the_numbers_are_those_of_a_validation_in_between_and_the_training_goes_on_exactly(tmp_path, monkeypatch):
    options = ["trainval.iterations=6", "trainval.ema=0.5", "trainval.checkpoint_step=100", "trainval.keep_last=1"]
    for background in ("false", "true"):
        train(tiny_config(tmp_path / background, *options, validation(background)))
    plain, beside = (tmp_path / name for name in ("false", "true"))
    assert log_of(plain) == log_of(beside) and [row["iter"] for row in log_of(plain)] == ["2", "4", "6"]
    names = ["snapshot-6.ckpt", "snapshot-best.ckpt"]
    assert sorted(path.name for path in (beside / "weights").iterdir()) == names
    for name in names:
        first, second = (read_checkpoint(folder / "weights" / name) for folder in (plain, beside))
        for part in ("state_dict", "trained_state_dict", "optimizer", "random", "iteration", "selection"):
            assert states_equal(first[part], second[part]), (name, part)
        assert read_metadata(plain / "weights" / name).numbers == read_metadata(beside / "weights" / name).numbers

    # SIGTERM comes while the first validation is under way
    has_come = BackgroundValidator.has_come

    def slow(validator, seconds=0.0):
        if seconds:
            signal.raise_signal(signal.SIGTERM)
        return False

    monkeypatch.setattr(BackgroundValidator, "has_come", slow)
    with pytest.raises(Stopped):
        train(tiny_config(tmp_path / "parts", *options, validation("true")))
    monkeypatch.setattr(BackgroundValidator, "has_come", has_come)
    (pending, _), *_ = reversed(checkpoints(f"{tmp_path}/parts/weights/snapshot"))
    assert pending == 2
    last = train(tiny_config(tmp_path / "parts", *options, validation("true")), resume="latest")
    assert states_equal(
        read_checkpoint(last)["state_dict"], read_checkpoint(beside / "weights/snapshot-6.ckpt")["state_dict"]
    )
    assert log_of(tmp_path / "parts") == log_of(beside)


def test_patience_ends_where_the_next_validation_is_due(tmp_path, capsys):
    stuck = "trainval.optimizer={name: SGD, args: {lr: 1e-30}}"
    options = [validation("true"), "trainval.patience=1", "trainval.best=ari_all", stuck]
    last = train(tiny_config(tmp_path, "trainval.iterations=90", *options))
    values = {int(row["iter"]): float(row["ari_all"]) for row in log_of(tmp_path)}
    best = max(values, key=values.get)
    assert max(values) == best + 2 and int(last.stem.split("-")[1]) == best + 4
    assert f"ended after {best + 4} iterations: 1 validations were not better" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"nothing left to train: validations became no better .* trainval.patience"):
        train(tiny_config(tmp_path, "trainval.iterations=90", *options), resume="latest")
    assert train(tiny_config(tmp_path, "trainval.iterations=90", *options), resume="latest-if-any") == last
    more = train(tiny_config(tmp_path, f"trainval.iterations={best + 5}", *options, "trainval.patience=9"), resume=last)
    assert [int(row["iter"]) for row in log_of(tmp_path)][-2:] == [best + 4, best + 5] and more != last


@pytest.mark.parametrize("background", ["false", "true"])
def test_a_training_that_is_ended_in_its_last_validation_does_not_train_on(tmp_path, monkeypatch, background):
    """The validation after which patience ends is interrupted by SIGTERM, and made with ``--resume``."""
    stuck = "trainval.optimizer={name: SGD, args: {lr: 1e-30}}"
    options = [validation(background), "trainval.patience=1", "trainval.best=ari_all", stuck, "trainval.iterations=90"]
    whole = train(tiny_config(tmp_path / "whole", *options))
    end = int(whole.stem.split("-")[1])
    kind, name = (BackgroundValidator, "numbers") if background == "true" else (Validator, "numbers")
    numbers, begun = getattr(kind, name), len(log_of(tmp_path / "whole"))
    calls = []

    def interrupted(validator, *arguments, **options):
        calls.append(validator)
        if len(calls) == begun + (background == "false"):  # the first call of the latter looks for a number alone
            signal.raise_signal(signal.SIGTERM)
            raise WaitEnded
        return numbers(validator, *arguments, **options)

    monkeypatch.setattr(kind, name, interrupted)
    if background == "true":
        monkeypatch.setattr(kind, "has_come", lambda validator, seconds=0.0: False)
        numbers = fetched
    with pytest.raises(Stopped):
        train(tiny_config(tmp_path / "parts", *options))
    monkeypatch.undo()
    last = train(tiny_config(tmp_path / "parts", *options), resume="latest")
    assert int(last.stem.split("-")[1]) == end
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")
    assert log_of(tmp_path / "parts", "train_log")[-1]["iter"] == str(end)


def fetched(validator, ended):
    """Wait for the numbers of the process, however it is asked whether they have come."""
    return pickle.load(pipes_of(validator._running())[1])["numbers"]


def test_a_process_that_is_killed_ends_the_training_with_its_state_saved(tmp_path, monkeypatch):
    begin = BackgroundValidator.begin

    def killed(validator, checkpoint):
        begin(validator, checkpoint)
        os.kill(validator._worker.pid, signal.SIGKILL)

    monkeypatch.setattr(BackgroundValidator, "begin", killed)
    message = (
        r"the process that validates in the background has ended \(SIGKILL\); (saved|the last good weights).*snapshot"
    )
    with pytest.raises(UserError, match=message):
        train(tiny_config(tmp_path, "trainval.iterations=90", validation("true")))
    assert checkpoints(f"{tmp_path}/weights/snapshot")


def test_the_process_ends_with_the_training(tmp_path):
    validator = BackgroundValidator(tiny_config(tmp_path, validation("true")))
    validator.begin(tmp_path / "none.ckpt")
    with pytest.raises(UserError, match=r"none.ckpt: no such checkpoint"):
        validator.numbers(lambda: False)
    pid = validator._worker.pid
    validator.close()
    time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_cannot_wait(tmp_path):
    schedule = "trainval.lr_scheduler={name: ReduceLROnPlateau}"
    with pytest.raises(UserError, match=r"validation.background: ReduceLROnPlateau needs the numbers at once"):
        train(tiny_config(tmp_path, "trainval.iterations=2", validation("true"), schedule))
