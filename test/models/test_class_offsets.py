"""Offsets of classes: they multiply the odds of a class outside of training, and change nothing in training."""

import math

import pytest
import torch
from conftest import make_batch

from mlreco.errors import UserError
from mlreco.models.chain import Chain
from mlreco.models.layers.class_offsets import ClassOffsets
from mlreco.semantics import PILARNET

STAGES = {
    "uresnet": {"filters": 4, "depth": 3, "reps": 1},
    "uresnet_spice": {"filters": 4, "depth": 3, "reps": 1, "own_levels": 1},
}


def build(stage, **more):
    torch.manual_seed(0)
    modules = {stage: {**STAGES[stage], **more}}
    section = {"class_scheme": "pilarnet", "modules": modules, "network_input": ["input_data"], "loss_input": []}
    return Chain.from_config(section)


def test_odds_of_a_class_are_multiplied():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(1))
    found = ClassOffsets(PILARNET, {"Delta": math.log(3.0)}).eval()(logits).softmax(1)
    odds = found[:, 3] / (1 - found[:, 3])
    before = logits.softmax(1)[:, 3]
    torch.testing.assert_close(odds, 3.0 * before / (1 - before))


def test_training_sees_the_logits_as_they_are():
    logits = torch.randn(5, 5)
    assert ClassOffsets(PILARNET, {"Delta": 1.0}).train()(logits) is logits


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_chooses_classes_with_them(stage):
    batch = make_batch([60, 30])
    plain, moved = build(stage).eval(), build(stage, class_offsets={"Michel": 50.0}).eval()
    assert plain.state_dict().keys() == moved.state_dict().keys(), "weights fit with and without offsets"
    with torch.no_grad():
        before, after = plain(batch), moved(batch)
    expected = before["segmentation"] + torch.tensor([0.0, 0.0, 0.0, 0.0, 50.0])
    torch.testing.assert_close(after["segmentation"], expected, rtol=0, atol=0)
    if stage == "uresnet_spice":
        assert (after["semantics"] == PILARNET.number("Michel")).all()


@pytest.mark.parametrize(
    ("offsets", "message"),
    [({"Delto": 1.0}, "Delta"), ({"Delta": math.nan}, "class_offsets.Delta is nan"), ({"MIP": math.inf}, "finite")],
)
def test_mistakes_are_told(offsets, message):
    with pytest.raises(UserError, match=message):
        ClassOffsets(PILARNET, offsets)
