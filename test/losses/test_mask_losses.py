import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_losses import OPTIONS, TEXTBOOK

from mlreco.errors import UserError
from mlreco.models.losses.instances import Instances
from mlreco.models.losses.kernel import pair_log_scores
from mlreco.models.losses.lovasz import falling_order
from mlreco.models.losses.masks import MASK_LOSSES, mask_loss


def pairs_of(instances, batch=None):
    """Pairs of voxels of one class whose instance numbers are given in rising order."""
    instances = torch.as_tensor(instances)
    batch = torch.zeros_like(instances) if batch is None else batch
    return Instances.build(batch, torch.zeros_like(instances), instances, instances >= 0).voxel_pairs()


def random_log_scores(pairs, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return -2.0 * torch.rand(len(pairs.row), generator=generator, dtype=torch.float64).to(dtype) - 1e-3


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_gradcheck(name):
    pairs = pairs_of([0, 0, 0, 1, 1, 2])
    scores = random_log_scores(pairs).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mask_loss(name, OPTIONS.get(name))(x, pairs), scores)


def test_gradcheck_of_the_log_scores():
    pairs = pairs_of([0, 0, 0, 1, 1, 2], torch.tensor([0, 0, 0, 0, 0, 1]))
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.rand(shape, generator=generator, dtype=torch.float64) + 0.2 for shape in ((6, 3), (3, 3), (3,))]
    assert torch.autograd.gradcheck(lambda *x: pair_log_scores(*x, pairs), [x.requires_grad_() for x in inputs])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31), st.lists(st.integers(0, 6), min_size=1, max_size=50), st.sampled_from(sorted(MASK_LOSSES))
)
def test_each_instance_equals_the_textbook(seed, instances, name):
    pairs = pairs_of(sorted(instances))
    scores = random_log_scores(pairs, seed)
    result = mask_loss(name, OPTIONS.get(name))(scores, pairs)
    for k in range(pairs.count):
        chosen = pairs.instance == k
        expected = TEXTBOOK[name](scores[chosen].exp(), pairs.member[chosen].double())
        torch.testing.assert_close(result[k], expected)


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_single_precision_holds_for_large_instances(name):
    generator = torch.Generator().manual_seed(0)
    pairs = pairs_of(torch.randint(4, (50_000,), generator=generator).sort()[0])
    scores = random_log_scores(pairs, dtype=torch.float32)
    values = [x.requires_grad_() for x in (scores.clone(), scores.double())]
    single, double = (mask_loss(name)(x, pairs) for x in values)
    torch.testing.assert_close(single.double(), double, rtol=2e-5, atol=0.0)
    single.sum().backward()
    double.sum().backward()
    error = (values[0].grad.double() - values[1].grad).norm() / values[1].grad.norm()
    assert error < 1e-5, "rounded errors may exchange neighbours in the Lovasz order, each a change of about 1e-4"


@pytest.mark.parametrize("name", ["lovasz_hinge", "bce", "dice", "focal"])
def test_perfect_masks_cost_nothing(name):
    pairs = pairs_of([0, 0, 1])
    scores = torch.where(pairs.member, 0.0, -1e4)
    torch.testing.assert_close(mask_loss(name)(scores, pairs), torch.zeros(2))


def test_lovasz_hinge_of_hard_masks_is_twice_the_jaccard_loss():
    pairs = pairs_of([0, 0, 0, 1])
    scores = torch.where(torch.tensor([1, 1, 0, 1, 0, 0, 0, 1], dtype=torch.bool), 0.0, -1e4)
    torch.testing.assert_close(mask_loss("lovasz_hinge")(scores, pairs), torch.tensor([2 * (1 - 2 / 4), 0.0]))


def test_focal_without_exponent_is_the_cross_entropy():
    pairs = pairs_of([0, 0, 1, 1, 1])
    scores = random_log_scores(pairs)
    torch.testing.assert_close(mask_loss("focal", {"gamma": 0})(scores, pairs), mask_loss("bce")(scores, pairs))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.data())
def test_packed_and_plain_sort_agree(instances, data):
    pairs = pairs_of(sorted(instances))
    value = st.sampled_from([-0.0, 0.0, 1e-45, 1e-30, 0.5, 1.0, 2.0]) | st.floats(0, 2, width=32)
    drawn = data.draw(st.lists(value, min_size=len(pairs.row), max_size=len(pairs.row)))
    errors = torch.tensor(drawn, dtype=torch.float32)
    values = errors.tolist()
    expected = sorted(range(len(values)), key=lambda i: (pairs.instance[i], -values[i], i))
    assert falling_order(errors, pairs).tolist() == expected
    assert falling_order(errors.double(), pairs).tolist() == expected


def test_sort_falls_back_where_the_key_would_not_fit():
    pairs = pairs_of([0, 0, 1])
    pairs.length.mul_(2**40)
    error = torch.rand(6, generator=torch.Generator().manual_seed(0))
    assert falling_order(error, pairs).tolist() == sorted(range(6), key=lambda i: (i // 3, -error[i]))


def test_user_errors():
    with pytest.raises(UserError, match="must be 0 or at least 1"):
        mask_loss("focal", {"gamma": 0.5})(torch.zeros(1), pairs_of([0]))
    with pytest.raises(UserError, match="no option 'smoothing'"):
        mask_loss("bce", {"smoothing": 2.0})
