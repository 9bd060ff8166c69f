"""Inference by tables of rows: networks against their layers one by one."""

import numpy as np
import pytest
import torch
from conftest import draw_norms, make_batch
from torch import nn

from mlreco.models.layers.precision import autocast
from mlreco.models.network_input import sparse_image
from mlreco.sparse import CPU as CPU_ENGINE
from mlreco.sparse import (
    PLAIN,
    ResidualBlock,
    SparseConv3d,
    SparseConvTensor,
    SparseInverseConv3d,
    SubMConv3d,
    UNetDecoder,
    UNetEncoder,
    VoxelBatchNorm,
    unchanging,
    use_engine,
)
from mlreco.sparse.gathered import inference, known
from mlreco.sparse.gathered.engine import GatherEngine
from mlreco.sparse.gathered.tables import levels_of

CPU = torch.device("cpu")
DEPTH = 3


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
    draw_norms(network)
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
def test_precisions_and_depths_take_turns_on_one_image(network):
    """Neither the plan of another precision nor the tables of fewer levels are used."""
    deeper = UNetEncoder(4, 4, DEPTH + 1).eval()
    given_image = image()
    with use_engine(GatherEngine()), unchanging(network), unchanging(deeper):
        expected = network(image_of(given_image))[0]
        with autocast("bf16", CPU):
            network(given_image)
        assert torch.equal(network(given_image)[0], expected)
        padded = SparseConvTensor(given_image.features, given_image.indices, (64, 64, 64), given_image.batch_size)
        network(padded)
        assert len(deeper(padded)) == DEPTH + 1


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
def test_a_decoder_takes_levels_that_have_no_tables_themselves(network):
    """As without tables: those of the coarsest level are those of all."""
    with use_engine(GatherEngine()):
        levels = network.encoder(image())
        expected = network.decoder(levels).features
        assert torch.equal(network.decoder([*map(image_of, levels[:-1]), levels[-1]]).features, expected)


@torch.no_grad()
def test_another_number_of_features_is_refused_before_kernels_see_it(network, encoded, monkeypatch):
    """Kernels on a device read rows of the width that the weights have."""
    decoded, decode = [], inference.decode
    monkeypatch.setattr(inference, "decode", lambda *arguments: decoded.append(0) or decode(*arguments))
    with use_engine(GatherEngine()):
        given_image = image()
        levels = network.encoder(given_image)
        network.decoder(levels)
        assert len(encoded) == len(decoded) == 1
        with pytest.raises(ValueError, match="takes 4 features a site, the image has 5"):
            network.encoder(given_image.replace_feature(torch.ones(len(given_image.features), 5)))
        for number, level in enumerate(levels):
            wider = level.replace_feature(torch.cat([level.features, level.features[:, :1]], dim=1))
            with pytest.raises((RuntimeError, ValueError), match=r"features|elements"):
                network.decoder([*levels[:number], wider, *levels[number + 1 :]])
    assert len(encoded) == len(decoded) == 1


OF_ANOTHER_WIDTH = {
    "encoder.input": SubMConv3d(4, 5, 3, bias=False, indice_key="level_0"),
    "encoder.blocks.0.1": ResidualBlock(5, 4, 0.33, "level_0"),
    "encoder.blocks.0.1.activation_1.norm": VoxelBatchNorm(5),
    "encoder.blocks.0.1.activation_2.norm": VoxelBatchNorm(5),
    "encoder.blocks.0.1.convolution_1": SubMConv3d(4, 5, 3, bias=False, indice_key="level_0"),
    "encoder.blocks.0.1.convolution_2": SubMConv3d(4, 5, 3, bias=False, indice_key="level_0"),
    "encoder.blocks.0.1.shortcut": nn.Linear(4, 5, bias=False),
    "encoder.blocks.1.1": ResidualBlock(8, 5, 0.33, "level_1"),
    "encoder.activations.0.norm": VoxelBatchNorm(5),
    "encoder.downsamplings.0": SparseConv3d(4, 5, 2, stride=2, bias=False, indice_key="down_0"),
    "encoder.downsamplings.1": SparseConv3d(5, 12, 2, stride=2, bias=False, indice_key="down_1"),
    "decoder.activations.0.norm": VoxelBatchNorm(5),
    "decoder.upsamplings.0": SparseInverseConv3d(5, 4, 2, bias=False, indice_key="down_0"),
    "decoder.upsamplings.1": SparseInverseConv3d(12, 16, 2, bias=False, indice_key="down_1"),
    "decoder.blocks.0.0.shortcut": nn.Linear(7, 4, bias=False),
    "decoder.blocks.1.1": ResidualBlock(8, 5, 0.33, "level_1"),
}


@torch.no_grad()
@pytest.mark.parametrize("name", OF_ANOTHER_WIDTH)
def test_layers_whose_widths_do_not_fit_are_called_one_by_one(network, name):
    assert network.encoder.is_as_made() and network.decoder.is_as_made()
    network.set_submodule(name, OF_ANOTHER_WIDTH[name].eval())
    assert not getattr(network, name.partition(".")[0]).is_as_made()
    for used in (GatherEngine(), PLAIN, CPU_ENGINE):
        with use_engine(used), pytest.raises((RuntimeError, ValueError)):
            network(image())


@torch.no_grad()
def test_features_on_other_sites_are_not_joined(network):
    with use_engine(GatherEngine()):
        levels, others = network.encoder(image()), network.encoder(image())
        with pytest.raises(ValueError, match="sites"):
            network.decoder([others[0], *levels[1:]])
