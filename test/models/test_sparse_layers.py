"""Sparse convolutions against dense ones."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from mlreco.sparse import SparseConv3d, SparseConvTensor, SparseInverseConv3d, SubMConv3d

SHAPE = (9, 8, 7)
ENGINES = {"plain": (torch.float64, 1e-10), "compiled": (torch.float32, 1e-4)}
"""dtype that each engine computes in, and how close it is to the dense convolution."""


@pytest.fixture(
    params=[("plain", 1), ("compiled", 1), ("compiled", 2), ("compiled", 4)], ids=lambda p: f"{p[0]}-{p[1]}"
)
def engine_and_threads(request, set_threads):
    set_threads(request.param[1])
    return ENGINES[request.param[0]]


def random_image(seed, sites=60, channels=3, batch_size=3, shape=SHAPE, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    volume = batch_size * int(np.prod(shape))
    chosen = rng.choice(volume, size=min(sites, volume), replace=False)  # in random order
    indices = torch.from_numpy(np.stack(np.unravel_index(chosen, (batch_size, *shape)), axis=1).astype(np.int64))
    features = torch.from_numpy(rng.normal(size=(len(chosen), channels))).to(dtype).requires_grad_(True)
    return SparseConvTensor(features, indices, shape, batch_size)


def at_sites(dense, indices):
    batch, x, y, z = indices.unbind(1)
    return dense[batch, :, x, y, z]


def dense_weight(layer):
    return layer.weight.permute(0, 4, 1, 2, 3)


def gradients(out, inputs, seed=0):
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=out.dtype)
    return torch.autograd.grad((out * direction).sum(), inputs, retain_graph=True)


def assert_same(sparse_out, dense_out, inputs, tolerance):
    torch.testing.assert_close(sparse_out, dense_out, rtol=tolerance, atol=tolerance)
    pairs = zip(gradients(sparse_out, inputs), gradients(dense_out, inputs), strict=True)
    for sparse_gradient, dense_gradient in pairs:
        torch.testing.assert_close(sparse_gradient, dense_gradient, rtol=tolerance, atol=tolerance)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    sites=st.integers(1, 200),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel_size=st.sampled_from([1, 3, 5]),
    bias=st.booleans(),
)
def test_submanifold_convolution_is_the_dense_one_at_the_active_sites(
    engine_and_threads, seed, sites, channels, kernel_size, bias
):
    dtype, tolerance = engine_and_threads
    image = random_image(seed, sites, channels[0], dtype=dtype)
    layer = SubMConv3d(*channels, kernel_size, bias=bias).to(dtype)
    out = layer(image)
    assert torch.equal(out.indices, image.indices)
    dense = nn.functional.conv3d(image.dense(), dense_weight(layer), layer.bias, padding=kernel_size // 2)
    inputs = [image.features, layer.weight] + ([layer.bias] if bias else [])
    assert_same(out.features, at_sites(dense, image.indices), inputs, tolerance)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    sites=st.integers(1, 200),
    geometry=st.sampled_from([(2, 2, 0), (3, 2, 1), (3, 1, 1), (3, 3, 0), (1, 1, 0)]),
    bias=st.booleans(),
)
def test_strided_convolution_is_the_dense_one_and_reaches_all_its_sites(
    engine_and_threads, seed, sites, geometry, bias
):
    kernel_size, stride, padding = geometry
    dtype, tolerance = engine_and_threads
    image = random_image(seed, sites, dtype=dtype)
    layer = SparseConv3d(3, 4, kernel_size, stride, padding, bias=bias).to(dtype)
    out = layer(image)
    dense = nn.functional.conv3d(image.dense(), dense_weight(layer), layer.bias, stride=stride, padding=padding)
    inputs = [image.features, layer.weight] + ([layer.bias] if bias else [])
    assert out.spatial_shape == list(dense.shape[2:])
    assert_same(out.features, at_sites(dense, out.indices), inputs, tolerance)
    occupied = SparseConvTensor(torch.ones(len(image.features), 1), image.indices, SHAPE, image.batch_size).dense()
    reached = nn.functional.conv3d(occupied, torch.ones(1, 1, *[kernel_size] * 3), stride=stride, padding=padding)
    assert out.indices.tolist() == [[b, x, y, z] for b, _, x, y, z in reached.nonzero().tolist()]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), sites=st.integers(1, 200), kernel_size=st.sampled_from([2, 3]))
def test_inverse_convolution_is_the_dense_transposed_one_on_the_sites_it_returns_to(
    engine_and_threads, seed, sites, kernel_size
):
    dtype, tolerance = engine_and_threads
    image = random_image(seed, sites, dtype=dtype)
    down = SparseConv3d(3, 4, kernel_size, stride=2, bias=False, indice_key="down").to(dtype)
    up = SparseInverseConv3d(4, 5, kernel_size, indice_key="down", bias=False).to(dtype)
    coarse = down(image)
    out = up(coarse)
    assert torch.equal(out.indices, image.indices)
    transposed = up.weight.permute(4, 0, 1, 2, 3)
    dense = nn.functional.conv_transpose3d(coarse.dense(), transposed, stride=2)
    padding = [n for have, want in zip(dense.shape[:1:-1], SHAPE[::-1], strict=True) for n in (0, max(0, want - have))]
    dense = nn.functional.pad(dense, padding)
    assert_same(out.features, at_sites(dense, out.indices), [image.features, down.weight, up.weight], tolerance)


def test_no_neighbours_across_the_borders_of_image_and_event():
    corners = torch.tensor([[0, 8, 7, 6], [1, 0, 0, 0], [0, 0, 7, 6], [0, 1, 0, 0], [2, 0, 0, 6], [2, 0, 1, 0]])
    image = SparseConvTensor(torch.ones(6, 1), corners, SHAPE, 3)
    layer = SubMConv3d(1, 1, 3, bias=False)
    nn.init.ones_(layer.weight)
    assert layer(image).features.flatten().tolist() == [1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_result_does_not_depend_on_the_number_of_threads(threads):
    image = random_image(3, sites=400, channels=16, dtype=torch.float32)
    torch.manual_seed(0)
    layer = SubMConv3d(16, 24, 3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = layer(image).features
        expected_gradients = gradients(expected, [image.features, layer.weight])
        torch.set_num_threads(threads)
        out = layer(image).features
        assert torch.equal(out, expected)
        for got, wanted in zip(gradients(out, [image.features, layer.weight]), expected_gradients, strict=True):
            assert torch.equal(got, wanted)
    finally:
        torch.set_num_threads(before)


def test_rows_follow_the_input_rows():
    image = random_image(5, sites=150)
    layer = SubMConv3d(3, 4, 3).double()
    order = torch.randperm(len(image.features), generator=torch.Generator().manual_seed(1))
    shuffled = SparseConvTensor(image.features[order], image.indices[order], SHAPE, image.batch_size)
    torch.testing.assert_close(layer(shuffled).features, layer(image).features[order], rtol=1e-12, atol=1e-12)


def test_layers_of_one_key_share_the_kernel_map():
    image = random_image(2)
    SubMConv3d(3, 4, 3, indice_key="level")(SparseConvTensor(image.features.float(), image.indices, SHAPE, 3))
    out = SubMConv3d(3, 4, 3, indice_key="level").double()(image)
    kept = dict(out.indice_dict)
    SubMConv3d(4, 4, 3, indice_key="level").double()(out)
    maps = [key for key in kept if key[0] == "sites"]
    assert out.indice_dict == kept and len(maps) == 1


def test_a_key_in_use_for_other_sites_is_refused():
    image, other = random_image(2, sites=50), random_image(3, sites=40)
    layer = SubMConv3d(3, 4, 3, indice_key="level").double()
    layer(image)
    other.indice_dict = image.indice_dict
    with pytest.raises(ValueError, match="indice_key 'level'"):
        layer(other)


def test_duplicate_sites_are_refused():
    image = SparseConvTensor(torch.ones(3, 1), torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 3]]), SHAPE, 1)
    with pytest.raises(ValueError, match=r"site \(1, 2, 3\) of image 0 occurs more than once"):
        SubMConv3d(1, 1, 3)(image)


def test_an_empty_image_gives_an_empty_image():
    image = SparseConvTensor(torch.zeros(0, 3), torch.zeros(0, 4, dtype=torch.int64), SHAPE, 2)
    coarse = SparseConv3d(3, 4, 2, stride=2, indice_key="down")(SubMConv3d(3, 3, 3)(image))
    assert coarse.features.shape == (0, 4)
    assert SparseInverseConv3d(4, 5, 2, indice_key="down")(coarse).features.shape == (0, 5)


def test_gradients_numerically():
    image = random_image(11, sites=12, channels=2)
    layer = SubMConv3d(2, 2, 3).double()

    def convolve(features, weight):
        return torch.func.functional_call(layer, {"weight": weight}, (image.replace_feature(features),)).features

    assert torch.autograd.gradcheck(convolve, (image.features, layer.weight))


def test_unsupported_arguments_are_refused():
    with pytest.raises(ValueError, match="odd kernel"):
        SubMConv3d(1, 1, 2)
    with pytest.raises(ValueError, match="dilation=2"):
        SparseConv3d(1, 1, 3, dilation=2)
    with pytest.raises(ValueError, match="groups=2"):
        SubMConv3d(2, 2, 3, groups=2)


def test_weights_have_the_layout_of_spconv():
    spconv = pytest.importorskip("spconv.pytorch")
    image = random_image(7, sites=200, channels=4, batch_size=2, dtype=torch.float32)
    theirs_image = spconv.SparseConvTensor(image.features.detach(), image.indices.int(), list(SHAPE), 2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # with more, spconv's CPU code has a data race
    try:
        for ours, theirs in (
            (SubMConv3d(4, 6, 3, bias=True), spconv.SubMConv3d(4, 6, 3, bias=True)),
            (SparseConv3d(4, 6, 2, stride=2), spconv.SparseConv3d(4, 6, 2, stride=2)),
        ):
            theirs.load_state_dict(ours.state_dict())
            out, expected = ours(image), theirs(theirs_image)
            found = expected.dense()
            torch.testing.assert_close(out.dense(), found, rtol=1e-5, atol=1e-5)
    finally:
        torch.set_num_threads(before)
