"""The event that makes the numbers of a training not finite is found and named."""

import pytest
import torch
from test_training import tiny_config

from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, loader_factory
from mlreco.iotools.collate import CollateSparse, one_event
from mlreco.models.assembly import build_chain
from mlreco.models.chain import ChainLoss
from mlreco.training import train
from mlreco.training.culprit import events_at_fault

IN_ORDER = ["iotool.sampler=SequentialSampler", "iotool.batch_size=2"]
CULPRIT = 3
"""Number of an event of the sample."""


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    config = tiny_config(tmp_path_factory.mktemp("culprit"), *IN_ORDER, "iotool.augment=null")
    with loader_factory(config["iotool"], train=True) as loader:
        steps = loader.steps()
        return config, [part for _ in range(2) for part in next(steps)]


def test_one_event_of_a_batch_is_as_if_it_were_collated_alone(batches):
    config, (batch, _) = batches
    with loader_factory(config["iotool"], train=False) as loader:
        for number in range(2):
            expected = CollateSparse()([loader.dataset[number]])
            found = one_event(batch, number)
            assert found.keys() == expected.keys() and found["index"] == expected["index"] == [number]
            for key in ("input_data", "cluster_label"):
                for name in ("coordinates", "features"):
                    assert torch.equal(getattr(found[key], name), getattr(expected[key], name)), (key, name)
                for name in ("columns", "counts", "metas"):
                    assert getattr(found[key], name) == getattr(expected[key], name)
            assert (found["event_id"] == expected["event_id"]).all()


class Spoiled(torch.nn.Module):
    """A loss that goes wrong with events of certain numbers of voxels."""

    def __init__(self, loss, chain, how, sizes):
        super().__init__()
        self.loss, self.chain, self.how, self.sizes = loss, chain, how, sizes

    def forward(self, products, labels):
        terms = self.loss(products, labels)
        sizes = torch.bincount(products["image"].indices[:, 0].long()).tolist()
        if self.sizes.isdisjoint(sizes):
            return terms
        if self.how == "loss":
            return {**terms, "loss": terms["loss"] * torch.nan}
        if self.how == "statistics":
            next(b for b in self.chain.buffers() if b.is_floating_point()).fill_(torch.inf)
            return terms
        weight = next(self.chain.parameters())
        return {**terms, "loss": terms["loss"] + (0 * weight.sum()).sqrt()}  # 0, of an infinite slope


@pytest.mark.parametrize("how", ["loss", "gradient", "statistics"])
def test_events_that_fail_alone_are_found_and_nothing_changes(batches, how):
    config, parts = batches
    torch.manual_seed(0)
    chain, _ = build_chain(config, to_train=True)
    chain.train()
    counts = [count for part in parts for count in part["input_data"].counts]
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    generator = torch.get_rng_state()

    def found(*places):
        loss = Spoiled(chain.make_loss(), chain, how, {counts[place] for place in places})
        return events_at_fault(parts, chain, loss, "off")

    assert len(set(counts)) == 4
    assert found(CULPRIT) == [CULPRIT]
    assert found(0, 2) == [0, 2]
    assert found(*range(4)) == found() == []
    assert all(torch.equal(value, before[name]) for name, value in chain.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in chain.parameters())


def test_the_event_is_named_and_shown(batches, tmp_path, monkeypatch):
    _, parts = batches
    size = parts[1]["input_data"].counts[CULPRIT - 2]
    forward = ChainLoss.forward

    def spoiled(loss, products, labels):
        terms = forward(loss, products, labels)
        bad = size in torch.bincount(products["image"].indices[:, 0].long()).tolist()
        return {**terms, "loss": terms["loss"] * torch.nan} if bad else terms

    monkeypatch.setattr(ChainLoss, "forward", spoiled)
    options = [*IN_ORDER, "trainval.iterations=3"]
    with pytest.raises(UserError) as caught:
        train(tiny_config(tmp_path, *options))
    kept = tmp_path / "weights/snapshot-2-diverged.h5"
    text = str(caught.value)
    assert "the loss is nan in iteration 2 because of " in text
    assert f"thin_sample.h5: event {CULPRIT} (it is so with it alone): " in text and text.count(": event ") == 1
    assert f"'mlreco display {kept} --event {CULPRIT - 2}' shows the event" in text
    with HDF5Reader(kept) as reader:
        assert len(reader[CULPRIT - 2]["energies"]) == size
