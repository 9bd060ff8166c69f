"""What is no sparse image, at the door of every layer: one error that says what is taken."""

import copy

import numpy as np
import pytest
import torch

from mlreco import sparse
from mlreco.sparse import (
    NormActivation,
    ResidualBlock,
    SparseConv3d,
    SparseConvTensor,
    SparseInverseConv3d,
    SubMConv3d,
    UNetDecoder,
    UNetEncoder,
    VoxelBatchNorm,
)

IMAGES = [
    SubMConv3d(4, 5, 3),
    SparseConv3d(4, 5, 2, stride=2),
    SparseInverseConv3d(4, 5, 2, indice_key="down"),
    ResidualBlock(4, 4, 0.3, "block"),
    UNetEncoder(4, 4, 2),
]
FEATURES = [NormActivation(4, 0.3), VoxelBatchNorm(4)]
LEVELS = [UNetDecoder(4, 2)]


def image(features=4):
    sites = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 2], [0, 3, 3, 3]], dtype=torch.int32)
    return SparseConvTensor(torch.rand(3, features), sites, (8, 8, 8), 1)


def encoded():
    return UNetEncoder(4, 4, 2)(image())


def name_of(layer):
    return type(layer).__name__


def test_every_public_layer_is_here():
    layers = {name for name in sparse.__all__ if isinstance(getattr(sparse, name), type(SubMConv3d))}
    modules = {name for name in layers if issubclass(getattr(sparse, name), torch.nn.Module)}
    assert modules - {"SparseConvolution"} == {name_of(layer) for layer in (*IMAGES, *FEATURES, *LEVELS)}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer", IMAGES, ids=name_of)
@pytest.mark.parametrize(
    ("given", "named"),
    [
        (torch.rand(3, 4), r"Tensor \(3, 4\)"),
        (np.zeros((3, 4), np.float32), "ndarray"),
        ([image()], "list"),
        (None, "NoneType"),
    ],
)
def test_layers_of_images(layer, given, named, training):
    layer.train(training)
    with pytest.raises(TypeError, match=f"^{name_of(layer)} takes a SparseConvTensor, not {named}; "):
        layer(given)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer", FEATURES, ids=name_of)
def test_layers_of_features(layer, training):
    layer.train(training)
    told = f"^{name_of(layer)} takes the \\(N, C\\) features of sites, not "
    with pytest.raises(TypeError, match=told + r"SparseConvTensor; call image.replace_feature\("):
        layer(image())
    with pytest.raises(TypeError, match=told + "ndarray$"):
        layer(np.zeros((3, 4), np.float32))


@pytest.mark.parametrize("training", [True, False])
def test_a_decoder(training):
    layer = LEVELS[0].train(training)
    with pytest.raises(TypeError, match=r"^UNetDecoder takes a list of SparseConvTensor, not SparseConvTensor$"):
        layer(image())
    with pytest.raises(TypeError, match=r"^UNetDecoder takes a SparseConvTensor, not Tensor \(3, 4\)"):
        layer([torch.rand(3, 4)] * 2)
    for number in (0, 1, 3):
        with pytest.raises(ValueError, match=f"^UNetDecoder takes 2 levels, the finest first, not {number}$"):
            layer([image()] * number)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer", [*IMAGES, *FEATURES, *LEVELS], ids=name_of)
def test_weights_on_another_device(layer, training, gradients):
    here = image()
    given = encoded() if layer in LEVELS else here.features if layer in FEATURES else here
    elsewhere = copy.deepcopy(layer).train(training).to("meta")
    message = r"^the weight of \w+ is on meta and its input on cpu; move one of them with \.to\(device\)$"
    with torch.set_grad_enabled(gradients), pytest.raises(ValueError, match=message):
        elsewhere(given)


def test_levels_on_several_devices():
    levels = encoded()
    levels[0] = SparseConvTensor.trusted(levels[0].features.to("meta"), levels[0].indices.to("meta"), (8, 8, 8), 1)
    with pytest.raises(ValueError, match=r"^UNetDecoder takes levels that are on one device, not on cpu, meta$"):
        UNetDecoder(4, 2)(levels)


@pytest.mark.parametrize("layer", [*IMAGES, *LEVELS], ids=name_of)
def test_a_network_is_computed_as_a_whole_on_its_device_only(layer):
    """Number and type of the device count: one of several GPUs holds the weights."""
    elsewhere = copy.deepcopy(layer).eval().to("meta")
    assert layer.eval().is_as_made() and elsewhere.is_as_made(torch.device("meta"))
    assert not elsewhere.is_as_made() and not elsewhere.is_as_made(torch.device("meta", 1))
