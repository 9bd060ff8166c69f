import math

import pytest
import torch

from mlreco.errors import UserError
from mlreco.models.losses import SegmentationLoss
from mlreco.semantics import PILARNET

LABELS = torch.tensor([0, 1, 2, 4, -1, 1, 0, -1])


def logits(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 5, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def plain_cross_entropy(scores, labels, weights):
    total, norm = 0.0, 0.0
    for row, label in zip(scores, labels.tolist(), strict=True):
        if label >= 0:
            total = total - weights[label] * (row[label] - torch.log(torch.exp(row).sum()))
            norm += weights[label]
    return total / norm


@pytest.mark.parametrize("named", [None, {"HIP": 4.0, "Michel": 0.5}])
def test_value_and_gradient_equal_plain_loop(named):
    weights = [(named or {}).get(name, 1.0) for name in PILARNET.classes]
    scores = logits()
    ours = SegmentationLoss(PILARNET, named)(scores, LABELS)["loss"]
    plain = plain_cross_entropy(scores, LABELS, weights)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(torch.autograd.grad(ours, scores), torch.autograd.grad(plain, scores))


def test_gradcheck():
    loss = SegmentationLoss(PILARNET, {"MIP": 3.0})
    assert torch.autograd.gradcheck(lambda scores: loss(scores, LABELS)["loss"], logits())


def test_accuracies():
    scores = torch.nn.functional.one_hot(torch.tensor([0, 0, 2, 4, 3, 1, 0, 0]), 5).double()
    result = SegmentationLoss(PILARNET)(scores, LABELS)
    assert result["accuracy"].item() == pytest.approx(5 / 6)
    assert result["accuracy_HIP"].item() == 1.0
    assert result["accuracy_MIP"].item() == 0.5
    assert math.isnan(result["accuracy_Delta"])


@pytest.mark.parametrize("rows", [0, 8])
def test_without_labels_the_loss_is_a_connected_zero(rows):
    scores = logits()[:rows].detach().requires_grad_()
    result = SegmentationLoss(PILARNET)(scores, torch.full((rows,), -1))
    assert result["loss"].item() == 0.0 and math.isnan(result["accuracy"])
    result["loss"].backward()
    assert torch.equal(scores.grad, torch.zeros_like(scores))


def test_half_precision_is_raised_to_single():
    assert SegmentationLoss(PILARNET)(logits(torch.bfloat16), LABELS)["loss"].dtype == torch.float32


def test_user_errors():
    with pytest.raises(UserError, match="did you mean 'Michel'"):
        SegmentationLoss(PILARNET, {"michel": 1.0})
    with pytest.raises(UserError, match=r"class_weights\.HIP"):
        SegmentationLoss(PILARNET, {"HIP": -1.0})
    with pytest.raises(UserError, match="semantic class 5"):
        SegmentationLoss(PILARNET)(logits(), LABELS + 1)


def test_by_event_it_is_the_mean_of_the_losses_of_the_events():
    loss = SegmentationLoss(PILARNET, {"MIP": 3.0})
    scores, events = logits(), torch.tensor([7, 3, 3, 7, 7, 3, 5, 9])
    found = loss(scores, LABELS, events)["loss"]
    single = [loss(scores[events == event], LABELS[events == event])["loss"] for event in (3, 5, 7, 9)]
    torch.testing.assert_close(found, sum(single) / 4)
    assert single[3] == 0.0
    assert torch.autograd.gradcheck(lambda values: loss(values, LABELS, events)["loss"], scores)
