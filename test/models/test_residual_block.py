"""The residual block that is one function in training against the modules it stands for, in double precision."""

import copy

import pytest
import torch
from conftest import make_batch
from torch import nn

from mlreco.models.network_input import sparse_image
from mlreco.sparse import SparseConv3d, engine
from mlreco.sparse.layers.residual import NormActivation, ResidualBlock, activate_and_convolve


def block_and_image(in_channels, out_channels, sizes):
    torch.manual_seed(in_channels + out_channels)
    block = ResidualBlock(in_channels, out_channels, 0.33, "level_0").train()
    for activation in (block.activation_1, block.activation_2):
        nn.init.normal_(activation.norm.weight)
        nn.init.normal_(activation.norm.bias)
    image = sparse_image(make_batch(sizes)["input_data"], 1)
    return block, image.replace_feature(1 + 2 * torch.randn(len(image.features), in_channels))


def trained(block, image, dtype=torch.float32, module=None):
    """Output, gradients and statistics after one step of training."""
    block = copy.deepcopy(block).to(dtype)
    features = image.features.detach().to(dtype, copy=True).requires_grad_(True)
    image = image.replace_feature(features)
    image.indice_dict.clear()
    if module is None:
        assert engine.CPU.trains_as_a_whole(block, features)
        out = block(image).features
    else:
        with engine.use_engine(module):
            out = block(image).features
    (out * torch.linspace(-1, 2, out.numel()).reshape(out.shape)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in block.named_parameters()}
    return out.detach(), {"features": features.grad, **gradients}, dict(block.named_buffers())


@pytest.mark.parametrize(
    "channels", [(16, 16), (32, 16), (5, 5), (20, 7), (96, 33), (1, 1), (192, 96), (256, 128)], ids=str
)
@pytest.mark.parametrize("sizes", [[200, 60], [2], [700]], ids=str)
def test_equals_the_modules(channels, sizes):
    block, image = block_and_image(*channels, sizes)
    found, expected = trained(block, image), trained(block, image, torch.float64, engine.PLAIN)
    torch.testing.assert_close(found[0].double(), expected[0], rtol=1e-4, atol=1e-4)
    for name, gradient in expected[1].items():
        scale = max(1.0, float(gradient.abs().max()))
        difference = (found[1][name].double() - gradient).abs().max()
        assert difference <= 2e-4 * scale, name
    for name, buffer in expected[2].items():
        torch.testing.assert_close(found[2][name].double(), buffer.double(), rtol=1e-5, atol=1e-5)


def test_the_same_for_any_number_of_threads():
    block, image = block_and_image(48, 32, [3000])
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            results.append(trained(block, image))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert torch.equal(other[0], results[0][0])
        norms = [name for name in results[0][1] if "norm" in name]
        assert norms and all(torch.equal(other[1][name], results[0][1][name]) for name in norms)
        assert all(torch.equal(other[2][name], buffer) for name, buffer in results[0][2].items())


def test_frozen_weights_get_no_gradient_and_the_features_theirs():
    block, image = block_and_image(8, 16, [120])
    expected = trained(block, image)
    block.requires_grad_(False)
    found = trained(block, image)
    assert all(found[1][name] is None for name in found[1] if name != "features")
    assert torch.equal(found[1]["features"], expected[1]["features"])


def test_left_to_the_modules_where_statistics_are_frozen_or_nothing_is_recorded():
    block, image = block_and_image(4, 4, [50])
    assert engine.CPU.trains_as_a_whole(block, image.features)
    block.activation_2.norm.eval()
    assert not engine.CPU.trains_as_a_whole(block, image.features)
    block.train()
    assert not engine.CPU.trains_as_a_whole(block, image.features[:1])
    with torch.no_grad():
        assert not engine.CPU.trains_as_a_whole(block, image.features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not engine.CPU.trains_as_a_whole(block, image.features)


def test_constant_columns_have_the_gradient_of_the_modules():
    """Their normalised numbers are nothing but rounding; every pass must round alike."""
    block, image = block_and_image(16, 16, [300])
    constant = image.replace_feature(torch.ones_like(image.features) * torch.linspace(0.1, 7, 16))
    found, expected = trained(block, constant), trained(block, constant, torch.float32, engine.PLAIN)
    largest = expected[1]["features"].abs().max()
    assert found[1]["features"].abs().max() <= 2 * largest


def test_weights_of_another_type_are_left_to_the_modules():
    block, image = block_and_image(8, 8, [50])
    block.convolution_1.double()
    assert not engine.CPU.trains_as_a_whole(block, image.features)


def test_hooks_on_the_layers_are_called():
    block, image = block_and_image(8, 8, [120])
    expected, called = block(image).features, []
    block.convolution_2.register_forward_hook(lambda *_: called.append("block"))
    torch.testing.assert_close(block(image).features, expected, rtol=1e-4, atol=1e-4)
    activation, convolution = NormActivation(8, 0.33).train(), SparseConv3d(8, 4, 2, 2, bias=False)
    activation(image.features)
    expected = activate_and_convolve(activation, convolution, image).features
    convolution.register_forward_hook(lambda *_: called.append("convolution"))
    torch.testing.assert_close(activate_and_convolve(activation, convolution, image).features, expected)
    assert called == ["block", "convolution"]
