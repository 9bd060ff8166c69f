"""The tools of a recipe: minibatches, moving average, warm-up and schedules, factors of losses."""

import math

import numpy as np
import pytest
import torch
from test_training import ROOT, rows, states_equal, tiny_config

from mlreco.config import load_config
from mlreco.errors import UserError
from mlreco.iotools import loader_factory
from mlreco.iotools.plan import Plan, Shard
from mlreco.iotools.samplers import RandomSampler
from mlreco.models.assembly import build_chain
from mlreco.models.chain import ChainLoss
from mlreco.training import train
from mlreco.training.average import moving_average
from mlreco.training.parts import Terms, shares_of

CHAIN = [
    "iotool.num_workers=0",
    "iotool.batch_size=5",
    "model.modules.uresnet={filters: 4, depth: 3, reps: 1}",
    "model.modules.uresnet_loss={class_weights: {Shower: 0.25, Michel: 3.0}}",
    "model.modules.spice={filters: 4, depth: 3, reps: 1, semantics: predicted}",
    "trainval.loss_weights={spice: 0.5}",
]


def gradients_and_numbers(config, minibatch_size, factors=None):
    torch.manual_seed(3)
    chain, _ = build_chain(config)
    chain.eval()  # batch normalisation sees a minibatch alone
    loss = ChainLoss.from_config(config["model"], config["trainval"]["loss_weights"] if factors is None else factors)
    iotool = {**config["iotool"].to_dict(), "minibatch_size": minibatch_size}
    with loader_factory(iotool, seed=1, train=True) as loader:
        parts = next(loader.steps())
    terms = Terms(loss)
    shares = shares_of(parts, chain, loss) if len(parts) > 1 else [None]
    for part, share in zip(parts, shares, strict=True):
        products = chain(part)
        found = loss(products, products["labels"])
        terms.add(found, share)
        (found["loss"] if share is None else loss.total(found, share)).backward()
    return len(parts), [parameter.grad for parameter in chain.parameters()], terms.numbers()[0]


@pytest.mark.parametrize("minibatch_size", [1, 2, 4])
def test_minibatches_have_the_gradient_and_the_numbers_of_their_batch(minibatch_size):
    config = load_config(ROOT / "config/chain.cfg", CHAIN)
    parts, found, numbers = gradients_and_numbers(config, minibatch_size)
    whole, expected, terms = gradients_and_numbers(config, 5)
    assert (parts, whole) == (math.ceil(5 / minibatch_size), 1)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 2e-5 * other.abs().max()
    assert numbers.keys() == terms.keys()
    assert numbers == pytest.approx(terms, rel=1e-5, nan_ok=True)
    assert terms["loss"] == pytest.approx(terms["uresnet_loss"] + 0.5 * terms["spice_loss"], rel=1e-6)


def test_minibatches_of_a_network_with_two_tasks_have_the_gradient_of_their_batch():
    small = "model.modules.uresnet_spice={filters: 4, depth: 3, reps: 1, decoder_reps: null, own_levels: 1}"
    config = load_config(ROOT / "config/uresnet_spice.cfg", [*CHAIN[:2], small])
    (_, found, numbers), (_, expected, terms) = (gradients_and_numbers(config, size) for size in (2, 5))
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 2e-5 * other.abs().max()
    assert numbers == pytest.approx(terms, rel=1e-5, nan_ok=True)


def test_factors_of_losses_scale_gradients():
    config = load_config(ROOT / "config/chain.cfg", CHAIN)
    halves = {"uresnet": 0.25, "spice": 0.25}
    _, one, _ = gradients_and_numbers(config, 5, {"uresnet": 1.0, "spice": 1.0})
    _, other, _ = gradients_and_numbers(config, 5, halves)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a * 0.25, b, rtol=1e-4, atol=1e-6 * float(a.abs().max()))


@pytest.mark.parametrize(("batch", "minibatch", "ranks"), [(7, 7, 1), (7, 2, 1), (7, 2, 3), (4, 1, 4), (5, 3, 2)])
def test_minibatches_of_all_processes_are_the_batch(batch, minibatch, ranks):
    sampler = RandomSampler(11, batch, seed=4)
    plans = [
        Plan(sampler, 11, batch, minibatch, train=True, iteration=3, shard=Shard(rank, ranks)) for rank in range(ranks)
    ]
    streams = [iter(plan) for plan in plans]
    for number in (3, 4, 5):
        found = []
        for plan, stream in zip(plans, streams, strict=True):
            parts = [next(stream) for _ in range(plan.parts)]
            assert all(0 < len(part) <= minibatch for part in parts)
            found += [request for part in parts for request in part]
        assert [request.position for request in found] == list(range(batch))
        assert {request.batch for request in found} == {number}
        assert [request.index for request in found] == sampler.batch(number).tolist()


def test_more_processes_than_events_of_a_batch_are_refused():
    with pytest.raises(UserError, match=r"3 processes train on batches of 2: raise iotool.batch_size"):
        Plan(RandomSampler(9, 2), 9, 2, 2, train=True, shard=Shard(0, 3))


def test_the_moving_average_is_that_of_its_formula():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    average = moving_average(model, 0.9)
    expected = None
    for count in range(40):
        for tensor in model.state_dict().values():
            with torch.no_grad():
                tensor.copy_(torch.randn(tensor.shape) if tensor.is_floating_point() else torch.tensor(count))
        average.update_parameters(model)
        state = {name: tensor.double().numpy().copy() for name, tensor in model.state_dict().items()}
        keep = min(0.9, (1 + count) / (10 + count))
        expected = (
            state
            if count == 0
            else {
                name: value if "tracked" in name else keep * expected[name] + (1 - keep) * value
                for name, value in state.items()
            }
        )
    for name, value in average.module.state_dict().items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-5, atol=1e-6)


RECIPE = [
    "iotool.batch_size=3",
    "iotool.minibatch_size=2",
    "trainval.optimizer={name: AdamW, args: {lr: 0.01, fused: true}}",
    "trainval.lr_scheduler={name: CosineAnnealingLR, args: {T_max: 6}}",
    "trainval.warmup=3",
    "trainval.ema=0.9",
]


def test_a_resumed_recipe_is_bit_identical_and_the_average_is_what_inference_takes(tmp_path):
    whole = train(tiny_config(tmp_path / "whole", "trainval.iterations=6", *RECIPE))
    train(tiny_config(tmp_path / "parts", "trainval.iterations=4", *RECIPE))
    parts = train(tiny_config(tmp_path / "parts", "trainval.iterations=6", *RECIPE), resume="latest")
    expected, found = torch.load(whole, weights_only=True), torch.load(parts, weights_only=True)
    for part in ("state_dict", "trained_state_dict", "averaged_steps", "optimizer", "scheduler", "random"):
        assert states_equal(found[part], expected[part]), part
    assert found["averaged_steps"] == 6
    assert not states_equal(found["state_dict"], found["trained_state_dict"])
    chain, _ = build_chain(tiny_config(tmp_path / "x"), weights=parts)
    assert states_equal(dict(chain.state_dict()), dict(found["state_dict"]))
    rates = [float(row["lr"]) for row in rows(tmp_path / "whole/log/train_log-0000000.csv")]
    cosine = [0.005 * (1 + math.cos(math.pi * number / 6)) for number in range(6)]
    assert rates == pytest.approx([value * min(1, (n + 1) / 3) for n, value in enumerate(cosine)], rel=1e-4)
    with pytest.raises(UserError, match=r"trainval.ema was 0.9 and is None now"):
        train(tiny_config(tmp_path / "parts", "trainval.iterations=7", *RECIPE[:-1]), resume="latest")
    with pytest.raises(UserError, match=r"minibatch_size was 2 and is 3 now"):
        override = "iotool.minibatch_size=3"
        train(tiny_config(tmp_path / "parts", "trainval.iterations=7", *RECIPE, override), resume="latest")


@pytest.mark.parametrize("name", ["OneCycleLR", "CosineAnnealingLR", "PolynomialLR"])
def test_schedules_last_as_long_as_the_training(tmp_path, name):
    arguments = "max_lr: 0.01" if name == "OneCycleLR" else ""
    schedule = f"trainval.lr_scheduler={{name: {name}, args: {{{arguments}}}}}"
    train(tiny_config(tmp_path, "trainval.iterations=4", schedule))
    rates = [float(row["lr"]) for row in rows(tmp_path / "log/train_log-0000000.csv")]
    assert len(rates) == 4
    if name == "OneCycleLR":
        assert max(rates) > rates[0] and rates[-1] < 0.1 * max(rates)
    else:
        assert rates == sorted(rates, reverse=True) and rates[-1] < rates[0]
    with pytest.raises(UserError, match=r"trainval.lr_scheduler.args.[a-zA-Z_]+ was 4 and is 5 now"):
        train(tiny_config(tmp_path, "trainval.iterations=5", schedule), resume="latest")


def test_a_factor_of_no_stage_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"trainval.loss_weights: the chain has no stage 'spise'; did you mean 'spice'"):
        train(tiny_config(tmp_path, "trainval.iterations=1", "trainval.loss_weights={spise: 2}"))
