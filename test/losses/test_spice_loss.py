import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_samples import random_batch
from plain_losses import OPTIONS, plain_spice_loss

from mlreco.errors import UserError
from mlreco.models.losses import MASK_LOSSES, SpiceLoss
from mlreco.semantics import PILARNET

WEIGHTS = {"mask_weight": 1.3, "smoothing_weight": 0.7, "inter_weight": 2.0, "seediness_weight": 0.4}


def spice(name="lovasz_hinge", **options):
    return SpiceLoss(PILARNET, mask_loss=name, mask_loss_args=OPTIONS.get(name), **options)


def gradients(loss, inputs):
    """Gradients of the three network outputs; zero where the loss does not depend on one."""
    values = inputs[:3]
    result = torch.autograd.grad(loss, values, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(values, result, strict=True)]


def assert_equals_plain(loss, inputs, name, **plain_options):
    ours = loss(*inputs)
    plain = plain_spice_loss(*inputs, PILARNET.classes, mask_loss=name, **plain_options)
    assert set(ours) == set(plain)
    for key in plain:
        torch.testing.assert_close(ours[key], plain[key], rtol=1e-10, atol=1e-12, equal_nan=True, msg=key)
    for mine, other in zip(gradients(ours["loss"], inputs), gradients(plain["loss"], inputs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("name", MASK_LOSSES)
def test_value_and_gradient_equal_plain_loops(name, norm):
    loss = spice(name, seediness_norm=norm, delta_d=0.3, **WEIGHTS)
    weights = tuple(WEIGHTS.values())
    assert_equals_plain(loss, random_batch(7, voxels=300), name, weights=weights, norm=norm, delta_d=0.3)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    voxels=st.integers(1, 80),
    events=st.integers(1, 12),
    classes=st.integers(1, 5),
    instances=st.integers(1, 30),
    name=st.sampled_from(sorted(MASK_LOSSES)),
)
def test_any_partition_equals_plain_loops(seed, voxels, events, classes, instances, name):
    inputs = random_batch(seed, voxels, events, classes, instances)
    if ((inputs[4] >= 0) & (inputs[5] >= 0)).any():
        assert_equals_plain(spice(name), inputs, name)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 4), st.integers(1, 5), st.integers(1, 8))
def test_pushing_apart_instances_of_all_classes_equals_plain_loops(seed, voxels, events, classes, instances):
    inputs = random_batch(seed, voxels, events, classes, instances)
    if ((inputs[4] >= 0) & (inputs[5] >= 0)).any():
        loss = spice("bce", inter_across_classes=True, inter_weight=4.0, delta_d=0.4)
        weights = (1.0, 1.0, 4.0, 1.0)
        assert_equals_plain(loss, inputs, "bce", weights=weights, delta_d=0.4, across_classes=True)


def test_embedding_weight_multiplies_three_terms():
    inputs = random_batch(1)
    terms = spice(embedding_weight=0.5, seediness_weight=3.0)(*inputs)
    expected = 3.0 * terms["seediness"] + 0.5 * (terms["mask"] + terms["smoothing"] + terms["inter"])
    torch.testing.assert_close(terms["loss"].detach(), expected)


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_invariant_under_row_permutation_relabelling_and_event_order(name):
    inputs = random_batch(3, voxels=200)
    expected = spice(name)(*inputs)
    expected_gradients = gradients(expected["loss"], inputs)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    e, sigma, seed, batch, semantics, numbers = (x.detach()[order] for x in inputs)
    values = [x.requires_grad_() for x in (e, sigma, seed)]
    numbers = torch.where(numbers < 0, numbers, 7 * (100 - numbers))
    result = spice(name)(*values, 5 - batch, semantics, numbers)
    torch.testing.assert_close(result, expected, equal_nan=True)
    for mine, other in zip(gradients(result["loss"], values), expected_gradients, strict=True):
        torch.testing.assert_close(mine, other[order])


def test_same_bits_at_every_call():
    inputs = random_batch(4, voxels=500, dtype=torch.float32)
    results = [spice()(*inputs)["loss"] for _ in range(2)]
    assert results[0].item() == results[1].item()
    for a, b in zip(gradients(results[0], inputs), gradients(results[1], inputs), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("voxels", [0, 20])
def test_without_an_instance_the_loss_is_a_connected_zero(voxels):
    inputs = random_batch(0, voxels=voxels)
    inputs[5] = torch.full_like(inputs[5], -1)
    result = spice()(*inputs)
    assert all(result[key].item() == 0.0 for key in ("loss", "mask", "smoothing", "inter", "seediness"))
    assert math.isnan(result["accuracy"]) and math.isnan(result["loss_HIP"])
    result["loss"].backward()
    assert all(torch.equal(x.grad, torch.zeros_like(x)) for x in inputs[:3])


def test_instance_number_shared_by_events_and_classes_is_not_one_instance():
    inputs = random_batch(5, voxels=100, instances=1)
    assert_equals_plain(spice(), inputs, "lovasz_hinge")


def test_huge_and_sparse_instance_numbers():
    inputs = random_batch(6, voxels=100)
    expected = spice()(*inputs)
    numbers = torch.where(inputs[5] < 0, inputs[5], inputs[5] * 2**60)
    torch.testing.assert_close(spice()(*inputs[:5], numbers), expected, equal_nan=True)


def test_labels_of_narrow_integer_types():
    inputs = random_batch(16, voxels=500, events=40, instances=30)
    narrow = [x.to(dtype) for x, dtype in zip(inputs[3:], (torch.int32, torch.int8, torch.int16), strict=True)]
    torch.testing.assert_close(spice()(*inputs[:3], *narrow), spice()(*inputs), equal_nan=True)


def test_skipped_classes_do_not_contribute():
    inputs = random_batch(8, voxels=200)
    result = spice(skip_classes=["Delta", "MIP"])(*inputs)
    semantics = inputs[4].clone()
    semantics[(semantics == PILARNET.number("Delta")) | (semantics == PILARNET.number("MIP"))] = -1
    torch.testing.assert_close(result, spice()(*inputs[:4], semantics, inputs[5]), equal_nan=True)
    assert math.isnan(result["loss_MIP"])


def test_small_instances_are_left_out_with_their_voxels():
    inputs = random_batch(9, voxels=200, events=2, instances=20)
    numbers = inputs[5].clone()
    triples = torch.stack(inputs[3:], dim=1)
    for row, triple in enumerate(triples):
        if (triples == triple).all(1).sum() < 3:
            numbers[row] = -1
    expected = spice()(*inputs[:5], numbers)
    assert (numbers != inputs[5]).any()
    torch.testing.assert_close(spice(min_voxels=3)(*inputs), expected, equal_nan=True)


def test_one_instance_has_no_inter_term():
    inputs = random_batch(2, events=1, classes=1, instances=1)
    assert spice()(*inputs)["inter"].item() == 0.0


@pytest.mark.parametrize("name", MASK_LOSSES)
@pytest.mark.parametrize("scale", [0.0, 1e-8, 1.0, 1e3, 1e10])
@pytest.mark.parametrize("margin", [0.0, 1e-30, 1e-3, 2.0])
def test_extreme_values_stay_finite(name, scale, margin):
    inputs = random_batch(11, dtype=torch.float32)
    embeddings = (inputs[0].detach() * scale).requires_grad_()
    margins = torch.full_like(inputs[1], margin).requires_grad_()
    inputs = [embeddings, margins, *inputs[2:]]
    result = spice(name)(*inputs)
    assert result["loss"].isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(result["loss"], inputs))


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_voxel_of_another_instance_at_the_centroid(name):
    embeddings = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0]], requires_grad=True)
    margins = torch.ones(3, requires_grad=True)
    labels = torch.zeros(3, dtype=torch.int64)
    result = spice(name)(embeddings, margins, margins * 0.5, labels, labels, torch.tensor([0, 1, 1]))
    result["loss"].backward()
    assert embeddings.grad.isfinite().all() and margins.grad.isfinite().all()


def test_bce_keeps_its_gradient_where_the_score_underflows():
    embeddings = torch.tensor([[0.0, 0, 0], [3, 0, 0]], requires_grad=True)
    labels = torch.zeros(2, dtype=torch.int64)
    loss = spice("bce", seediness_weight=0.0)
    loss(embeddings, torch.full((2,), 0.01), torch.ones(2), labels, labels, labels)["loss"].backward()
    assert embeddings.grad[0, 0] < -100.0 and embeddings.grad[1, 0] > 100.0


def test_half_precision_outputs_are_raised_to_single():
    inputs = random_batch(12, dtype=torch.float32)
    half = [x.detach().bfloat16().requires_grad_() for x in inputs[:3]]
    result = spice()(*half, *inputs[3:])
    assert result["loss"].dtype == torch.float32
    torch.testing.assert_close(result, spice()(*[x.float() for x in half], *inputs[3:]), equal_nan=True)


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_gradcheck_without_the_terms_that_stop_gradients(name):
    inputs = random_batch(13, voxels=12, events=2, classes=2, instances=2)
    loss = spice(name, smoothing_weight=0.0, seediness_weight=0.0)

    def of_embedding(embeddings, margins):
        return loss(embeddings, margins, *inputs[2:])["loss"]

    assert torch.autograd.gradcheck(of_embedding, inputs[:2])


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_single_precision_agrees_with_double(name):
    inputs = random_batch(14, voxels=2000, dtype=torch.float32)
    double = [x.detach().double().requires_grad_() for x in inputs[:3]]
    results = [spice(name)(*inputs), spice(name)(*double, *inputs[3:])]
    for key, value in results[0].items():
        torch.testing.assert_close(value.double(), results[1][key], rtol=1e-5, atol=1e-6, equal_nan=True)
    both = [gradients(result["loss"], values) for result, values in zip(results, (inputs, double), strict=True)]
    for mine, other in zip(*both, strict=True):
        torch.testing.assert_close(mine.double(), other, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_descent_separates_overlapping_instances(name):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.arange(90) % 3
    start = torch.randn(90, 3, generator=generator) * 0.3 + torch.eye(3)[numbers] * 0.2
    outputs = [start.requires_grad_(), torch.zeros(90, requires_grad=True), torch.zeros(90, requires_grad=True)]
    zeros = torch.zeros(90, dtype=torch.int64)
    optimizer = torch.optim.Adam(outputs, lr=0.1)
    for _ in range(100):
        result = spice(name)(outputs[0], 2 * outputs[1].sigmoid(), outputs[2].sigmoid(), zeros, zeros, numbers)
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
    assert result["accuracy"] == 1.0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", MASK_LOSSES)
def test_cuda_agrees_with_cpu(name):
    inputs = random_batch(15, voxels=3000, dtype=torch.float32)
    moved = [x.detach().cuda().requires_grad_(x.requires_grad) for x in inputs]
    results = [spice(name)(*inputs), spice(name)(*moved)]
    for key, value in results[0].items():
        torch.testing.assert_close(value, results[1][key].cpu(), rtol=1e-5, atol=1e-6, equal_nan=True)
    both = [gradients(result["loss"], values) for result, values in zip(results, (inputs, moved), strict=True)]
    for mine, other in zip(*both, strict=True):
        torch.testing.assert_close(mine, other.cpu(), rtol=1e-3, atol=1e-7)


def test_user_errors():
    with pytest.raises(UserError, match="did you mean 'lovasz_hinge'"):
        spice("lovasz_hnge")
    with pytest.raises(UserError, match="seediness_norm"):
        spice(seediness_norm="l3")
    with pytest.raises(UserError, match="did you mean 'Shower'"):
        spice(skip_classes=["shower"])
    with pytest.raises(UserError, match="did you mean 'gamma'"):
        SpiceLoss(PILARNET, "focal", {"gama": 1})
    inputs = random_batch(0)
    with pytest.raises(UserError, match="semantic class 9"):
        spice()(*inputs[:4], torch.full_like(inputs[4], 9), inputs[5])
