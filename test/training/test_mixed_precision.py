"""Training in mixed precision: scaled gradients, steps left out, exact continuation."""

import sys

import pytest
import torch
from test_training import rows, states_equal, tiny_config
from torch import nn

from mlreco.errors import UserError
from mlreco.inference import run_inference
from mlreco.iotools import HDF5Reader
from mlreco.training import train
from mlreco.training.checkpoints import TrainingState
from mlreco.training.loop import Training
from mlreco.training.step import Step, make_scaler, optimize

CPU = torch.device("cpu")


def state_of(amp="fp16", scale=None):
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    state = TrainingState(model, torch.optim.SGD(model.parameters(), lr=0.5))
    state.scaler = make_scaler(amp, CPU)
    if scale is not None:
        state.scaler.scale(torch.zeros(()))
        state.scaler.update(scale)
    return state


@pytest.mark.parametrize(("amp", "enabled"), [("off", False), ("bf16", False), ("fp16", True)])
def test_only_fp16_scales_the_loss(amp, enabled):
    assert make_scaler(amp, CPU).is_enabled() is enabled


@pytest.mark.parametrize(("limit", "expected"), [(None, 1 - 0.5 * 8), (2.0, 1 - 0.5 * 2)])
@pytest.mark.parametrize("amp", ["off", "fp16"])
def test_the_limit_of_the_gradient_holds_without_the_scale(amp, limit, expected):
    state = state_of(amp)
    assert optimize(state, [8 * state.model.weight.sum()], limit) == Step(True, 8.0)
    assert state.model.weight.item() == pytest.approx(expected, abs=1e-5)


def infinite(state):
    return (state.model.weight * torch.inf).sum()


def test_a_step_that_overflows_is_left_out_counted_and_lowers_the_scale():
    state = state_of("fp16")
    state.scheduler = torch.optim.lr_scheduler.StepLR(state.optimizer, 1, 0.1)
    optimize(state, [state.model.weight.sum()])
    weight, scale = state.model.weight.item(), state.scaler.get_scale()
    for step in (1, 2):
        assert optimize(state, [infinite(state)]).sound
        assert state.skipped_steps == step
        assert state.scaler.get_scale() == scale / 2**step
    assert state.model.weight.item() == weight
    assert state.optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    assert optimize(state, [state.model.weight.sum()]).sound
    assert state.model.weight.item() < weight


@pytest.mark.parametrize(("amp", "scale"), [("off", None), ("bf16", None), ("fp16", 1.0)])
def test_a_gradient_that_no_scale_makes_finite_ends_the_training(amp, scale):
    state = state_of(amp, scale)
    assert not optimize(state, [infinite(state)]).sound
    assert state.model.weight.item() == 1.0 and state.skipped_steps == 0


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_a_resumed_training_is_bit_identical_to_the_uninterrupted_one(tmp_path, amp):
    option = f"trainval.amp={amp}"
    whole = train(tiny_config(tmp_path / "whole", "trainval.iterations=4", option))
    train(tiny_config(tmp_path / "parts", "trainval.iterations=2", option))
    parts = train(tiny_config(tmp_path / "parts", "trainval.iterations=4", option), resume="latest")
    expected, found = torch.load(whole, weights_only=True), torch.load(parts, weights_only=True)
    for part in ("state_dict", "optimizer", "scaler", "skipped_steps", "random", "iteration"):
        assert states_equal(found[part], expected[part]), part
    assert all(tensor.dtype != torch.float16 for tensor in expected["state_dict"].values())
    assert (expected["scaler"].get("_growth_tracker") == 4 - expected["skipped_steps"]) is (amp == "fp16")


def test_an_overflow_while_training_is_counted_in_log_and_checkpoint(tmp_path, monkeypatch):
    clip = torch.nn.utils.clip_grad_norm_
    calls = []

    def second_is_infinite(parameters, limit):
        calls.append(limit)
        return clip(parameters, limit) * (float("inf") if len(calls) == 2 else 1)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", second_is_infinite)
    last = train(tiny_config(tmp_path, "trainval.iterations=3", "trainval.amp=fp16"))
    log = rows(tmp_path / "log/train_log-0000000.csv")
    assert [row["skipped_steps"] for row in log] == ["0", "1", "1"]
    assert [float(row["loss_scale"]) for row in log] == [65536, 32768, 32768]
    assert torch.load(last, weights_only=True)["skipped_steps"] == 1


def test_losses_in_bf16_are_near_those_in_float32_and_not_the_same(tmp_path):
    losses = []
    for amp in ("off", "bf16"):
        train(tiny_config(tmp_path / amp, "trainval.iterations=2", f"trainval.amp={amp}"))
        losses.append([float(row["loss"]) for row in rows(tmp_path / amp / "log/train_log-0000000.csv")])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_resuming_with_other_arithmetic_is_refused_and_older_checkpoints_count_as_float32(tmp_path):
    last = train(tiny_config(tmp_path, "trainval.iterations=1"))
    for option, message in (("amp=bf16", "trainval.amp was off and is bf16 now"), ("tf32=true", "tf32 was False")):
        with pytest.raises(UserError, match=message):
            train(tiny_config(tmp_path, "trainval.iterations=2", f"trainval.{option}"), resume=last)
    older = torch.load(last, weights_only=True)
    for name in ("scaler", "skipped_steps", "metadata"):
        del older[name]
    older["recipe"] = {"optimizer": {"name": "Adam", "args": {"lr": 0.005}}, "freeze": []}
    torch.save(older, last)
    assert train(tiny_config(tmp_path, "trainval.iterations=2"), resume=last).name == "snapshot-2.ckpt"


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_as_configured_while_training_and_put_back(tmp_path, monkeypatch, allowed):
    seen = []
    module = sys.modules[Training.__module__]
    step = module.optimize
    flag = torch.backends.cuda.matmul
    monkeypatch.setattr(module, "optimize", lambda *a: seen.append(flag.allow_tf32) or step(*a))
    before = flag.allow_tf32
    train(tiny_config(tmp_path, "trainval.iterations=1", f"trainval.tf32={allowed}"))
    assert seen == [allowed] and flag.allow_tf32 is before


def test_amp_is_checked_and_a_bare_off_is_understood(tmp_path):
    assert tiny_config(tmp_path, "trainval.amp=off").trainval.amp == "off"
    with pytest.raises(UserError, match=r"trainval.amp.*fp32.*'off', 'fp16' or 'bf16'"):
        tiny_config(tmp_path, "trainval.amp=fp32")


def test_inference_in_bf16_writes_float32_near_that_of_float32(tmp_path):
    last = train(tiny_config(tmp_path, "trainval.iterations=1"))
    events = {}
    for amp in ("off", "bf16"):
        config = tiny_config(tmp_path, "trainval.iterations=2", f"trainval.amp={amp}")
        run_inference(config, tmp_path / f"{amp}.h5", weights=last)
        with HDF5Reader(tmp_path / f"{amp}.h5") as reader:
            events[amp] = list(reader)
    for exact, rounded in zip(events["off"], events["bf16"], strict=True):
        for name in ("embeddings", "margins", "seediness"):
            assert rounded[name].dtype == "float32"
            assert 0 < abs(rounded[name] - exact[name]).max() < 0.05
