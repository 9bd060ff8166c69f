"""Validation while training: its numbers, what it leaves alone, the best checkpoint, the end of patience."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training import ROOT, rows, states_equal, tiny_config

from mlreco.checkpoints import read_checkpoint, read_metadata
from mlreco.errors import UserError
from mlreco.inference import run_inference
from mlreco.iotools import HDF5Reader
from mlreco.iotools.interface import ClusterVoxels, read_product
from mlreco.iotools.larcv3.writer import LArCV3Writer
from mlreco.iotools.readers import open_reader
from mlreco.models.assembly import build_chain
from mlreco.post_processing.evaluation.evaluate import evaluate
from mlreco.training import train
from mlreco.training.prefix import checkpoints
from mlreco.training.selection import Selection
from mlreco.training.validation import Validator
from mlreco.voxels import EventVoxels

SAMPLE = ROOT / "config/sample/thin_sample.h5"
VALIDATION = [f"trainval.validation={{data_keys: [{SAMPLE}], step: 2, events: 5}}", "trainval.checkpoint_step=100"]


def numbers_of(folder):
    return rows(folder / "log/validation_log-0000000.csv")


def test_a_validation_changes_no_number_of_the_training_and_goes_on_exactly(tmp_path, capsys):
    options = ["iotool.num_workers=1", "trainval.ema=0.5", "trainval.freeze=[spice.encoder]"]
    plain = read_checkpoint(train(tiny_config(tmp_path / "plain", "trainval.iterations=5", *options)))
    whole = read_checkpoint(train(tiny_config(tmp_path / "whole", "trainval.iterations=5", *options, *VALIDATION)))
    assert "is trained on and validated on" in capsys.readouterr().err
    train(tiny_config(tmp_path / "parts", "trainval.iterations=3", *options, *VALIDATION))
    last = train(tiny_config(tmp_path / "parts", "trainval.iterations=5", *options, *VALIDATION), resume="latest")
    parts = read_checkpoint(last)
    for part in ("state_dict", "trained_state_dict", "optimizer", "random"):
        assert states_equal(whole[part], plain[part]), part
        assert states_equal(parts[part], whole[part]), part
    assert [row["iter"] for row in numbers_of(tmp_path / "whole")] == ["2", "4", "5"]
    assert [row["iter"] for row in numbers_of(tmp_path / "parts")] == ["2", "3", "4", "5"]  # also at each end
    both = numbers_of(tmp_path / "whole"), [row for row in numbers_of(tmp_path / "parts") if row["iter"] != "3"]
    assert both[0] == both[1]
    assert read_metadata(last).numbers["loss"] == pytest.approx(float(both[0][-1]["loss"]), rel=1e-5)


def test_the_numbers_are_those_of_inference_and_evaluation(tmp_path):
    overrides = [
        "model.modules.uresnet={filters: 4, depth: 2, reps: 1}",
        "trainval.iterations=2",
        f"trainval.validation={{data_keys: [{SAMPLE}], step: 2}}",
    ]
    config = tiny_config(tmp_path, *overrides)
    last = train(config)
    (found,) = numbers_of(tmp_path)
    run_inference(tiny_config(tmp_path, *overrides, "trainval.iterations=null"), tmp_path / "o.h5", weights=last)
    right, voxels = np.zeros(5), np.zeros(5)
    with HDF5Reader(tmp_path / "o.h5") as reader:
        table = evaluate(reader).rows
        for event in reader:
            for number in range(5):
                of_class = event["semantics_true"] == number
                voxels[number] += of_class.sum()
                right[number] += (event["semantics_predicted"][of_class] == number).sum()
    assert float(found["segmentation_accuracy"]) == pytest.approx(right.sum() / voxels.sum(), rel=1e-5)
    assert float(found["recall_Delta"]) == pytest.approx(right[3] / voxels[3], rel=1e-5, abs=1e-9)
    for name, number in (("Shower", 2), ("all", -1)):
        for metric in ("ari", "purity"):
            expected = np.nanmean(table[metric][table["class"] == number])
            assert float(found[f"{metric}_{name}"]) == pytest.approx(expected, rel=1e-5)


def test_no_number_depends_on_the_size_of_the_batches(tmp_path):
    values = []
    for size in (1, 7):
        config = tiny_config(tmp_path, f"iotool.batch_size={size}", *VALIDATION)
        torch.manual_seed(0)
        chain, _ = build_chain(config)
        validator = Validator(config, chain.make_loss())
        values.append(validator.numbers(chain))
        validator.close()
    assert values[0] == pytest.approx(values[1], rel=1e-5, nan_ok=True)


def test_the_best_and_the_last_checkpoints_stay(tmp_path):
    options = ["trainval.iterations=6", "trainval.checkpoint_step=1", "trainval.keep_last=2", VALIDATION[0]]
    train(tiny_config(tmp_path, *options))
    assert [number for number, _ in checkpoints(f"{tmp_path}/weights/snapshot")] == [6, 5]
    losses = {int(row["iter"]): float(row["loss"]) for row in numbers_of(tmp_path)}
    best = read_checkpoint(tmp_path / "weights/snapshot-best.ckpt")
    assert best["iteration"] == min(losses, key=losses.get)
    assert best["selection"]["value"] == pytest.approx(min(losses.values()), rel=1e-5)


def test_a_training_goes_on_from_its_best_checkpoint_and_finds_a_better_one(tmp_path):
    options = [VALIDATION[0], "trainval.checkpoint_step=100", "trainval.optimizer={name: SGD, args: {lr: 0.01}}"]
    first = train(tiny_config(tmp_path, "trainval.iterations=2", *options))
    best = tmp_path / "weights/snapshot-best.ckpt"
    assert first.samefile(best)
    last = train(tiny_config(tmp_path, "trainval.iterations=4", *options), resume="latest")
    assert last.samefile(best) and not first.samefile(best)


def test_a_training_ends_when_patience_does(tmp_path, capsys):
    stuck = "trainval.optimizer={name: SGD, args: {lr: 1e-30}}"  # the running statistics still move
    options = [VALIDATION[0], "trainval.patience=2", "trainval.best=ari_all", stuck]
    last = train(tiny_config(tmp_path, "trainval.iterations=90", *options))
    values = {int(row["iter"]): float(row["ari_all"]) for row in numbers_of(tmp_path)}
    best = max(values, key=values.get)
    assert int(last.stem.split("-")[1]) == max(values) == best + 4 < 90
    assert f"2 validations were not better than that after {best}" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"nothing left to train: validations became no better .* trainval.patience"):
        train(tiny_config(tmp_path, "trainval.iterations=90", *options), resume="latest")


def test_the_learning_rate_follows_the_validation(tmp_path):
    arguments = "{patience: 0, factor: 0.1, threshold: 1000.0, threshold_mode: abs}"
    schedule = f"trainval.lr_scheduler={{name: ReduceLROnPlateau, args: {arguments}}}"
    train(tiny_config(tmp_path, "trainval.iterations=6", schedule, VALIDATION[0]))
    rates = [float(row["lr"]) for row in rows(tmp_path / "log/train_log-0000000.csv")]
    assert rates == pytest.approx([0.005] * 4 + [0.0005] * 2)


def test_a_learning_rate_that_follows_the_validation_goes_on_with_the_same_alone(tmp_path, capsys):
    plateau = "trainval.lr_scheduler={name: ReduceLROnPlateau, args: {patience: 0}}"
    moved, other = shutil.copy(SAMPLE, tmp_path / "moved.h5"), tmp_path / "other.txt"
    other.write_text(f"{SAMPLE}\n{moved}\n")
    here = f"trainval.validation.data_keys=[{moved}]"
    train(tiny_config(tmp_path, "trainval.iterations=2", *VALIDATION, plateau))
    for change, said in (
        (f"trainval.validation.data_keys=[{other}]", "had other events, and ReduceLROnPlateau follows them"),
        ("trainval.validation.events=2", r"trainval.validation.events was \d+ and is 2 now"),
        ("trainval.best=ari_all", "trainval.lr_scheduler.args.mode was min and is max now"),
    ):
        with pytest.raises(UserError, match=said):
            train(tiny_config(tmp_path, "trainval.iterations=3", *VALIDATION, plateau, change), resume="latest")
    train(tiny_config(tmp_path, "trainval.iterations=3", *VALIDATION, plateau, here), resume="latest")
    elsewhere = tmp_path / "elsewhere"
    train(tiny_config(elsewhere, "trainval.iterations=2", *VALIDATION))
    capsys.readouterr()
    changed = f"trainval.validation.data_keys=[{other}]"
    train(tiny_config(elsewhere, "trainval.iterations=3", *VALIDATION, changed), resume="latest")
    assert "trainval.validation had other events" in capsys.readouterr().err


def test_what_is_better():
    chosen = Selection()
    for iteration, value in ((1, 0.5), (2, math.nan), (3, 0.4), (4, 0.6)):
        chosen = chosen.after(iteration, {"loss": value}, "loss")
    assert (chosen.iteration, chosen.value, chosen.misses, chosen.validated) == (3, 0.4, 1, 4)
    assert Selection().after(1, {"ari": 0.1}, "ari").after(2, {"ari": 0.2}, "ari").iteration == 2
    assert Selection.from_state(chosen.state()) == chosen


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainval.best=ari_al", r"trainval.best: the validation has no number 'ari_al'; did you mean 'ari_all'"),
        ("trainval.validation.data_keys=[none.h5]", r"trainval.validation: none.h5: no such file"),
        ("trainval.validation.evnts=3", r"unknown key; did you mean 'events'"),
        ("trainval.validation.step=0", r"trainval.validation.step: expected at least 1"),
    ],
)
def test_mistakes(tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        train(tiny_config(tmp_path, "trainval.iterations=2", *VALIDATION, override))


def write_empty_events(path):
    reader = open_reader(SAMPLE)
    event = {name: read_product(reader, 0, name) for name in reader.products()}
    for name, content in event.items():
        if isinstance(content, EventVoxels):
            event[name] = replace(content, coordinates=content.coordinates[:0], features=content.features[:0])
        elif isinstance(content, ClusterVoxels):
            none = {key: getattr(content, key)[:0] for key in ("coordinates", "values", "sets")}
            event[name] = replace(content, **none)
    with LArCV3Writer(path) as writer:
        for number in range(3):
            writer.append((1, 0, number), event)


def test_events_without_voxels_are_no_validation(tmp_path):
    write_empty_events(tmp_path / "empty.h5")
    options = [f"trainval.validation={{data_keys: [{tmp_path}/empty.h5], step: 1}}", "trainval.iterations=2"]
    with pytest.raises(UserError, match=r"trainval.validation: none of the 3 events has voxels"):
        train(tiny_config(tmp_path, *options))


@pytest.mark.parametrize("override", ["trainval.patience=2", "trainval.lr_scheduler={name: ReduceLROnPlateau}"])
def test_what_needs_a_validation_says_so(tmp_path, override):
    with pytest.raises(UserError, match=r"trainval\.validation"):
        train(tiny_config(tmp_path, "trainval.iterations=2", override))
