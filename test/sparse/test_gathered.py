"""Inference by tables of rows: the tables against dictionaries of sites, networks against their layers one by one."""

import itertools

import numpy as np
import pytest
import torch
from conftest import make_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_references import random_sites
from torch import nn

from mlreco.models.layers.precision import autocast
from mlreco.models.network_input import sparse_image
from mlreco.sparse import PLAIN, SparseConvTensor, UNetDecoder, UNetEncoder, unchanging, use_engine
from mlreco.sparse.gathered import inference, known, morton, torch_kernels
from mlreco.sparse.gathered.engine import GatherEngine
from mlreco.sparse.gathered.parts import ABSENT, Affine, Convolution
from mlreco.sparse.gathered.tables import levels_of
from mlreco.sparse.maps.keys import MAX_BATCH, MAX_COORDINATE

CPU = torch.device("cpu")
DEPTH = 3


def rows_of(sites):
    return {tuple(site): row for row, site in enumerate(sites.tolist())}


def at_offset(site, offset):
    return (site[0], *(a + b for a, b in zip(site[1:], offset, strict=True)))


def assert_tables(sites, levels):
    """Look every site of every table up in dictionaries."""
    for number, level in enumerate(levels):
        coarse = np.unique(np.column_stack([sites[:, 0], sites[:, 1:] >> number]), axis=0)
        assert sorted(map(tuple, level.indices.tolist())) == sorted(map(tuple, coarse.tolist()))
        rows = rows_of(level.indices)
        offsets = list(itertools.product((-1, 0, 1), repeat=3))
        for site, found in zip(level.indices.tolist(), level.neighbours.tolist(), strict=True):
            assert found == [rows.get(at_offset(site, offset), ABSENT) for offset in offsets]
        if level.halving is None:
            assert number == len(levels) - 1
            continue
        coarse_sites, children, parents = levels[number + 1].indices, *level.halving
        for site, found in zip(coarse_sites.tolist(), children.tolist(), strict=True):
            corner = (site[0], *(2 * n for n in site[1:]))
            expected = [rows.get(at_offset(corner, child), ABSENT) for child in itertools.product((0, 1), repeat=3)]
            assert found == expected
        coarse_rows = rows_of(coarse_sites)
        for site, found in zip(level.indices.tolist(), parents.tolist(), strict=True):
            child = (site[1] & 1) * 4 + (site[2] & 1) * 2 + (site[3] & 1)
            expected = [ABSENT] * 8
            expected[child] = coarse_rows[(site[0], *(n >> 1 for n in site[1:]))]
            assert found == expected


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 60),
    st.sampled_from([(8, 8, 8), (1, 2, 40), (4, 16, 8)]),
)
def test_tables_hold_the_rows_of_neighbours_children_and_parents(seed, events, voxels, shape):
    rng = np.random.default_rng(seed)
    sites = rng.permutation(random_sites(rng, events, voxels, shape))
    levels = levels_of(torch.from_numpy(sites), DEPTH)
    assert np.array_equal(levels[0].indices.numpy(), sites)
    assert_tables(sites, levels)


def test_sites_at_the_ends_of_what_has_a_code_are_no_neighbours():
    """A step over the border of an axis leads to no site of another axis or event."""
    ends = [0, 1, MAX_COORDINATE - 1, MAX_COORDINATE]
    sites = np.array([(b, *p) for b in (0, 1, MAX_BATCH) for p in itertools.product(ends, repeat=3)])
    assert_tables(sites, levels_of(torch.from_numpy(sites), 2))
    assert morton.fits((MAX_COORDINATE + 1,) * 3, MAX_BATCH + 1)
    assert not morton.fits((1, MAX_COORDINATE + 2, 1), 1)
    assert not morton.fits((1, 1, 1), MAX_BATCH + 2)


def test_a_site_that_occurs_twice_is_refused():
    sites = torch.tensor([[0, 5, 6, 7], [1, 5, 6, 7], [0, 1, 1, 1], [0, 5, 6, 7]])
    with pytest.raises(ValueError, match=r"site \(5, 6, 7\) of image 0 occurs more than once"):
        levels_of(sites, 2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_convolution_by_table_is_a_sum_over_its_rows(seed, rows, cin, cout, small_memory):
    generator = torch.Generator().manual_seed(seed)
    source = torch.randn(7, cin, generator=generator, dtype=torch.float64)
    table = torch.randint(-1, 7, (rows, 5), generator=generator, dtype=torch.int32)
    weight = torch.randn(5, cin, cout, generator=generator, dtype=torch.float64)
    expected = torch.zeros(rows, cout, dtype=torch.float64)
    for row, k in itertools.product(range(rows), range(5)):
        if table[row, k] != ABSENT:
            expected[row] += source[table[row, k]] @ weight[k]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_kernels, "MAX_BYTES", 200 if small_memory else 2**28)
        torch.testing.assert_close(torch_kernels.product(source, table, weight), expected)


def test_residual_shortcut_and_activation_follow_in_this_order():
    source, residual = torch.randn(6, 3), torch.randn(4, 2)
    table = torch.randint(-1, 6, (4, 5), dtype=torch.int32)
    then = Affine(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.25]), 0.1)
    layer = Convolution(torch.randn(5, 3, 2), torch.randn(2, 2), then)
    part = torch_kernels.convolution(source, table, layer, torch.float32, residual)
    raw = torch_kernels.product(source, table, layer.weight) + residual @ layer.shortcut
    torch.testing.assert_close(part.raw, raw)
    torch.testing.assert_close(part.active, nn.functional.leaky_relu(raw * then.scale + then.shift, 0.1))


class Network(nn.Module):
    """An encoder and a decoder as deep as it, and one that ends at the second level."""

    def __init__(self, filters=4):
        super().__init__()
        self.encoder, self.decoder = UNetEncoder(4, filters, DEPTH), UNetDecoder(filters, DEPTH)
        self.coarse_decoder = UNetDecoder(filters, DEPTH, finest=1)

    def forward(self, image):
        levels = self.encoder(image)
        return self.decoder(levels).features, self.coarse_decoder(levels[1:])


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Network()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture
def encoded(monkeypatch):
    """How many encoders were computed by tables."""
    calls, encode = [], inference.encode
    monkeypatch.setattr(inference, "encode", lambda *arguments: calls.append(0) or encode(*arguments))
    return calls


def image(shuffled=True):
    found = sparse_image(make_batch([90, 40])["input_data"], DEPTH)
    order = torch.randperm(len(found.features)) if shuffled else torch.arange(len(found.features))
    return SparseConvTensor(found.features[order], found.indices[order], found.spatial_shape, found.batch_size)


def by_site(image):
    """The features of an image in the order of its sites."""
    order = np.lexsort(image.indices.numpy().T[::-1])
    return image.indices[order], image.features[order]


@torch.no_grad()
def test_a_network_by_tables_is_the_network_layer_by_layer(network, encoded):
    given_image = image()
    with use_engine(PLAIN):
        expected, expected_coarse = network(given_image)
    with use_engine(GatherEngine()):
        found, coarse = network(image_again := given_image.replace_feature(given_image.features))
    assert encoded and image_again.spatial_shape == given_image.spatial_shape
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(by_site(coarse), by_site(expected_coarse), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, check_dtype=False)


@torch.no_grad()
@pytest.mark.parametrize(("amp", "error"), [("fp16", 0.01), ("bf16", 0.08)])
def test_under_autocast_it_stays_as_near_as_the_layers_do(network, encoded, amp, error):
    given_image = image()
    with use_engine(PLAIN):
        expected, _ = network(given_image)
        with autocast(amp, CPU):
            rounded, _ = network(image_of(given_image))
    with use_engine(GatherEngine()), autocast(amp, CPU):
        found, _ = network(image_of(given_image))
    scale = expected.std()
    assert encoded and found.dtype == torch.float32
    assert (found - expected).square().mean().sqrt() / scale < error
    assert (found - expected).norm() < 2 * (rounded - expected).norm()


def image_of(other):
    return SparseConvTensor(other.features, other.indices, other.spatial_shape, other.batch_size)


@torch.no_grad()
def test_tables_are_made_once_for_an_image(network, monkeypatch):
    made, other = [], Network(6).eval()
    monkeypatch.setattr(known, "levels_of", lambda *arguments: made.append(0) or levels_of(*arguments))
    with use_engine(GatherEngine()), unchanging(network), unchanging(other):
        given_image = image()
        network(given_image), other(given_image), network(given_image)
        assert len(made) == 1
        network(image())
        assert len(made) == 2
        given_image.indices[0, 1] += 1  # noticed, though the tensor is the same
        given_image.indices[0] = given_image.indices[0].clamp(max=given_image.spatial_shape[0] - 1)
        network(given_image)
        assert len(made) == 3


@torch.no_grad()
def test_images_without_voxels_and_in_training_are_left_to_the_layers(network, encoded):
    with use_engine(GatherEngine()):
        empty = SparseConvTensor(torch.zeros(0, 4), torch.zeros(0, 4, dtype=torch.int64), (8, 8, 8), 1)
        assert network(empty)[0].shape == (0, 4)
        network.train()(image())
        network.eval()
        with torch.enable_grad():
            network(image())
    assert not encoded


def test_a_decoder_that_learns_takes_the_levels_of_a_frozen_encoder(network, encoded):
    """The encoder is computed by tables, the decoder layer by layer on its sites, with the plain gradients."""
    given_image, gradients = image(), []
    for engine in (GatherEngine(), PLAIN):
        with use_engine(engine):
            with torch.no_grad():
                levels = network.encoder(image_of(given_image))
            network.zero_grad()
            out = network.decoder(levels).features
            (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
            gradients.append([out.detach(), *(p.grad.clone() for p in network.decoder.parameters())])
    assert len(encoded) == 1
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_features_on_other_sites_are_not_joined(network):
    with use_engine(GatherEngine()):
        levels, others = network.encoder(image()), network.encoder(image())
        with pytest.raises(ValueError, match="sites"):
            network.decoder([others[0], *levels[1:]])
