"""Training end to end on a tiny network: logs, checkpoints, exact continuation, interruption."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import h5py
import pytest
import torch

from mlreco.checkpoints import read_checkpoint, read_metadata
from mlreco.config import load_config
from mlreco.config.by_content import by_content
from mlreco.errors import UserError
from mlreco.inputs import noting_inputs
from mlreco.training import train
from mlreco.training.keeping import keep_best
from mlreco.training.prefix import best_path, checkpoints, refuse_to_write_over_inputs, training_to_resume
from mlreco.training.settings import difference, named_files, settings_of

ROOT = Path(__file__).parents[2]
TINY = [
    "iotool.batch_size=2",
    "iotool.num_workers=0",
    "model.modules.spice.filters=4",
    "model.modules.spice.depth=3",
    "model.modules.spice.reps=1",
    "trainval.report_step=1",
]


def tiny_config(folder, *overrides):
    places = [f"trainval.weight_prefix={folder}/weights/snapshot", f"trainval.log_dir={folder}/log"]
    return load_config(ROOT / "config" / "spice.cfg", [*TINY, *places, *overrides])


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def states_equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(states_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(states_equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "SGD"])
def test_a_resumed_training_is_bit_identical_to_the_uninterrupted_one(tmp_path, optimizer, workers):
    if workers and optimizer != "Adam":
        pytest.skip("one optimiser is enough to see that prefetched batches are not lost")
    options = [
        f"trainval.optimizer={{name: {optimizer}, args: {{lr: 0.01}}}}",
        "trainval.lr_scheduler={name: StepLR, args: {step_size: 2, gamma: 0.5}}",
        "iotool.augment={flip: true, permute: true, charge_scale: 0.1, charge_jitter: 0.1}",
        f"iotool.num_workers={workers}",
    ]
    whole = train(tiny_config(tmp_path / "whole", "trainval.iterations=6", *options))
    train(tiny_config(tmp_path / "parts", "trainval.iterations=3", *options))
    parts = train(tiny_config(tmp_path / "parts", "trainval.iterations=6", *options), resume="latest")
    expected, found = torch.load(whole, weights_only=True), torch.load(parts, weights_only=True)
    for part in ("state_dict", "optimizer", "scheduler", "random", "iteration", "epoch"):
        assert states_equal(found[part], expected[part]), part
    losses = [row["loss"] for row in rows(tmp_path / "whole/log/train_log-0000000.csv")]
    assert [row["loss"] for row in rows(tmp_path / "parts/log/train_log-0000000.csv")] == losses


def test_the_log_has_the_columns_of_the_field_and_every_loss_term(tmp_path):
    train(tiny_config(tmp_path, "trainval.iterations=2"))
    (first, second) = rows(tmp_path / "log/train_log-0000000.csv")
    assert list(first)[:4] == ["iter", "epoch", "titer", "tsum"]
    assert {"spice_mask", "spice_smoothing", "spice_inter", "spice_seediness", "lr"} <= set(first)
    assert [first["iter"], second["iter"]] == ["1", "2"]
    assert float(second["tsum"]) >= float(first["tsum"]) + float(second["titer"]) * 0.99
    assert float(second["epoch"]) == pytest.approx(4 / 20)


def test_frozen_modules_do_not_move_and_the_second_step_starts_from_the_first(tmp_path):
    freeze = "trainval.freeze=[spice.seediness_decoder, spice.seediness_head]"
    one = torch.load(train(tiny_config(tmp_path / "one", "trainval.iterations=1", freeze)), weights_only=True)
    last = train(tiny_config(tmp_path / "three", "trainval.iterations=3", freeze))
    three = torch.load(last, weights_only=True)
    for name, value in three["state_dict"].items():
        moved = not torch.equal(value, one["state_dict"][name])
        assert not (moved and "seediness" in name), name
    assert any(
        not torch.equal(v, one["state_dict"][k]) for k, v in three["state_dict"].items() if "embedding_decoder" in k
    )
    both = torch.load(train(tiny_config(tmp_path / "both", "trainval.iterations=1"), weights=last), weights_only=True)
    assert any(
        not torch.equal(v, three["state_dict"][k]) for k, v in both["state_dict"].items() if "seediness_decoder" in k
    )


def test_checkpoints_hold_the_configuration_and_come_at_every_step(tmp_path):
    train(tiny_config(tmp_path, "trainval.iterations=5", "trainval.checkpoint_step=2"))
    names = sorted(path.name for path in (tmp_path / "weights").iterdir())
    assert names == ["snapshot-2.ckpt", "snapshot-4.ckpt", "snapshot-5.ckpt"]
    assert checkpoints(f"{tmp_path}/weights/snapshot")[0][1].name == "snapshot-5.ckpt"
    assert "filters: 4" in torch.load(tmp_path / "weights/snapshot-2.ckpt", weights_only=True)["config"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainval.optimizer={name: Adm}", r"'Adm'.*did you mean 'Adam'"),
        ("trainval.optimizer={name: Adam, args: {rate: 1}}", r"trainval.optimizer.*rate"),
        ("trainval.lr_scheduler={name: StepRL, args: {step_size: 1}}", r"'StepRL'.*did you mean 'StepLR'"),
        ("trainval.optimizer={name: LBFGS}", "LBFGS evaluates the loss several times"),
        ("model.modules.spice.depth=0", "model.modules.spice: filters and depth must be at least 1"),
        ("model.modules.spice.reps=0", "model.modules.spice: reps must be at least 1"),
        ("trainval.freeze=[spice]", "leave no parameter to train"),
        ("trainval.freeze=[spice.encode]", "did you mean 'spice.encoder'"),
        ("trainval.gpus='7'", "no such CUDA device"),
    ],
)
def test_mistakes_in_the_training_section(tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        train(tiny_config(tmp_path, "trainval.iterations=1", override))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("iotool.batch_size=1", "batch_size was 2 and is 1 now"),
        (
            "iotool.sampler={name: SequentialSampler}",
            "iotool.sampler.name was RandomSampler and is SequentialSampler now",
        ),
        ("trainval.optimizer={name: Adam, args: {lr: 0.5}}", r"trainval.optimizer.args.lr was 0.005 and is 0.5 now"),
        ("trainval.max_grad_norm=3.0", "trainval.max_grad_norm was None and is 3.0 now"),
        ("iotool.augment.permute=false", "iotool.augment.permute was True and is False now"),
        ("model.modules.spice_loss.delta_d=0.3", "model.modules.spice_loss.delta_d was 0.2 and is 0.3 now"),
        ("iotool.dataset.entry_range=[0, 12]", r"iotool.dataset.entry_range was None and is \[0, 12\] now"),
        ("iotool.dataset.skip_event_list=[3]", r"iotool.dataset.skip_event_list was None and is \[3\] now"),
    ],
)
def test_resuming_with_other_settings_is_refused(tmp_path, override, message):
    train(tiny_config(tmp_path, "trainval.iterations=1"))
    with pytest.raises(UserError, match=message):
        train(tiny_config(tmp_path, "trainval.iterations=2", override), resume="latest")


def test_settings_in_files_are_compared_by_what_the_files_hold(tmp_path):
    def settings_with(name, text=None):
        if text is not None:
            (tmp_path / name).write_text(text)
        stage = f"model.modules.fragmenter={{thresholds: {tmp_path / name}}}"
        return settings_of(load_config(ROOT / "config/chain.cfg", [stage]), None)

    before = settings_with("a.yaml", "MIP: {voxel_distance: 1.5}")
    moved = settings_with("b.yaml", "{MIP: {voxel_distance: 1.5}}  # the same")
    assert before == moved and not difference(before, moved, complete=True)
    changed = settings_with("a.yaml", "MIP: {voxel_distance: 2.5}")
    key = "model.modules.fragmenter.thresholds"
    assert difference(before, changed, complete=True) == f"{key}.MIP.voxel_distance was 1.5 and is 2.5 now"
    older = {name: value for name, value in before.items() if not name.startswith(key)} | {key: "elsewhere.yaml"}
    assert not difference(older, before, complete=True) and named_files(older, before) == [key]
    (tmp_path / "table.npy").write_bytes(b"123")
    named = {"map": str(tmp_path / "table.npy"), "name": "table", "list": ["a.b:c", 3]}
    digest = hashlib.sha256(b"123").hexdigest()
    assert by_content(named) == {"map": f"sha256:{digest}", "name": "table", "list": ["a.b:c", 3]}


def test_resuming_with_other_events_is_refused(tmp_path):
    train(tiny_config(tmp_path, "trainval.iterations=1"))
    sample = ROOT / "config/sample/thin_sample.h5"
    moved = shutil.copy(sample, tmp_path / "moved.h5")
    with h5py.File(shutil.copy(sample, tmp_path / "other.h5"), "r+") as file:
        voxels = file["Data/sparse3d_pcluster_group/voxels"]
        first = voxels[:1]
        first["value"] *= 1.01
        voxels[:1] = first
    with pytest.raises(UserError, match=r"the events were 20 of .*thin_sample.h5 and are 20 others of .*other.h5 now"):
        config = tiny_config(tmp_path, "trainval.iterations=2", f"iotool.dataset.data_keys=[{tmp_path}/other.h5]")
        train(config, resume="latest")
    train(tiny_config(tmp_path, "trainval.iterations=2", f"iotool.dataset.data_keys=[{moved}]"), resume="latest")


def test_a_log_that_exists_is_kept(tmp_path):
    config = [f"trainval.log_dir={tmp_path}/log", "trainval.iterations=1"]
    train(tiny_config(tmp_path / "one", *config))
    first = (tmp_path / "log/train_log-0000000.csv").read_bytes()
    train(tiny_config(tmp_path / "two", *config))
    assert (tmp_path / "log/train_log-0000000.csv").read_bytes() == first
    assert len(rows(tmp_path / "log/train_log-0000000_1.csv")) == 1


def test_folders_that_cannot_be_made_are_told_before_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    for key in ("weight_prefix", "log_dir"):
        with pytest.raises(UserError, match=r"cannot write .*file"):
            train(tiny_config(tmp_path, "trainval.iterations=1", f"trainval.{key}={tmp_path}/file/inside/snapshot"))


def test_a_gradient_that_is_no_number_changes_nothing(tmp_path, monkeypatch):
    config = tiny_config(tmp_path, "trainval.iterations=2", "trainval.checkpoint_step=1")
    clip = torch.nn.utils.clip_grad_norm_
    calls = []

    def second_is_infinite(parameters, limit):
        calls.append(limit)
        norm = clip(parameters, limit)
        return norm if len(calls) == 1 else norm * float("inf")

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", second_is_infinite)
    with pytest.raises(UserError, match=r"the gradient is no number in iteration 2 \(.*thin_sample.h5: event"):
        train(config)
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == [
        "snapshot-1.ckpt",
        "snapshot-2-diverged.h5",
    ]


def test_a_new_training_does_not_overwrite_an_earlier_one(tmp_path):
    config = tiny_config(tmp_path, "trainval.iterations=1")
    first = train(config).read_bytes()
    with pytest.raises(UserError, match=r"snapshot-1.ckpt: from an earlier training; continue it with --resume"):
        train(config)
    assert (tmp_path / "weights/snapshot-1.ckpt").read_bytes() == first
    best = (tmp_path / "weights/snapshot-1.ckpt").rename(tmp_path / "weights/snapshot-best.ckpt")
    with pytest.raises(UserError, match=r"snapshot-best.ckpt: from an earlier training"):
        train(config, weights=best)


def test_a_training_replaces_of_what_it_read_only_the_checkpoint_that_it_goes_on_from(tmp_path):
    prefix = f"{tmp_path}/weights/snapshot"
    first = train(tiny_config(tmp_path, "trainval.iterations=1"))
    other = train(tiny_config(tmp_path / "other", "trainval.iterations=1"))
    for resume in ("latest", first):
        with noting_inputs():
            training_to_resume(resume, prefix)
            refuse_to_write_over_inputs(prefix)
            keep_best(prefix, other)
            keep_best(prefix, first)
        assert best_path(prefix).samefile(first)  # so that going on from one of them lets the other be replaced
    shutil.copy(other, tmp_path / "weights/snapshot-0.ckpt")
    mine = [f"model.modules.spice.model_path={tmp_path}/weights/snapshot-0.ckpt", "trainval.keep_last=1"]
    with pytest.raises(UserError, match=r"snapshot-0.ckpt: is an input of this .*; choose another trainval.weight_pre"):
        train(tiny_config(tmp_path, "trainval.iterations=2", *mine), resume="latest")


def test_resuming_keeps_the_seed_and_says_so(tmp_path, capsys):
    train(tiny_config(tmp_path, "trainval.iterations=1", "trainval.seed=4"))
    train(tiny_config(tmp_path, "trainval.iterations=2", "trainval.seed=4"), resume="latest")
    assert "goes on with" not in capsys.readouterr().err
    last = train(tiny_config(tmp_path, "trainval.iterations=3", "trainval.seed=5"), resume="latest")
    assert "goes on with its seed 4; trainval.seed, now 5," in capsys.readouterr().err
    assert read_checkpoint(last)["seed"] == 4


def test_resuming_needs_a_checkpoint_that_fits(tmp_path):
    config = tiny_config(tmp_path, "trainval.iterations=1")
    with pytest.raises(UserError, match="nothing to resume"):
        train(config, resume="latest")
    last = train(config)
    with pytest.raises(UserError, match="nothing left to train: 1 iterations are done and 1 wanted"):
        train(config, resume=last)
    weights = torch.load(last, weights_only=True)
    torch.save({"state_dict": weights["state_dict"]}, tmp_path / "weights_only.ckpt")
    with pytest.raises(UserError, match="start from it with --weights instead of --resume"):
        train(tiny_config(tmp_path, "trainval.iterations=2"), resume=tmp_path / "weights_only.ckpt")
    with pytest.raises(UserError, match=r"model.modules.spice.filters was 4 and is 6 now"):
        train(tiny_config(tmp_path, "trainval.iterations=2", "model.modules.spice.filters=6"), resume=last)


def test_a_job_that_is_queued_again_starts_once(tmp_path):
    for iterations in (1, 2):
        last = train(tiny_config(tmp_path, f"trainval.iterations={iterations}"), resume="latest-if-any")
        assert last.name == f"snapshot-{iterations}.ckpt"
    assert [run.first_iteration for run in read_metadata(last).history] == [0, 1]
    assert train(tiny_config(tmp_path, "trainval.iterations=2"), resume="latest-if-any") == last
    assert len(read_metadata(last).history) == 2


def test_a_failed_checkpoint_leaves_the_previous_one(tmp_path, monkeypatch):
    config = tiny_config(tmp_path, "trainval.iterations=2", "trainval.checkpoint_step=1")
    written = Path.write_bytes
    calls = []

    def full_disk(path, content):
        calls.append(path)
        if len(calls) == 2:
            written(path, bytes(content[:1000]))
            raise OSError(28, "No space left on device")
        return written(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(UserError, match=r"snapshot-2.ckpt.*disk is full"):
        train(config)
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["snapshot-1.ckpt"]
    assert json.loads(json.dumps(torch.load(tmp_path / "weights/snapshot-1.ckpt", weights_only=True)["iteration"])) == 1
