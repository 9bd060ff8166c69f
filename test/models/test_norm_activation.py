"""BatchNorm and LeakyReLU in one pass against torch's two modules."""

import copy

import pytest
import torch
from torch import nn

from mlreco.sparse import engine
from mlreco.sparse.layers.residual import NormActivation


def run(module, features, training, backend_is_plain):
    module = copy.deepcopy(module).train(training)
    features = features.clone().requires_grad_(True)
    if backend_is_plain:
        with engine.use_engine(engine.PLAIN):
            out = module(features)
    else:
        out = module(features)
    (out * torch.linspace(-1, 2, out.numel()).reshape(out.shape)).sum().backward()
    gradients = (features.grad, module.norm.weight.grad, module.norm.bias.grad)
    return out.detach(), gradients, dict(module.norm.named_buffers())


@pytest.mark.parametrize("rows", [1, 2, 3, 500])
@pytest.mark.parametrize("channels", [1, 5, 16, 33])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_modules_of_torch(rows, channels, training):
    torch.manual_seed(rows + channels)
    module = NormActivation(channels, 0.33)
    nn.init.normal_(module.norm.weight)
    nn.init.normal_(module.norm.bias)
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    features = 3 + 2 * torch.randn(rows, channels)
    found, expected = (run(module, features, training, plain_one) for plain_one in (False, True))
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
    for a, b in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-4)
    for name, buffer in found[2].items():
        torch.testing.assert_close(buffer, expected[2][name], rtol=1e-5, atol=1e-6)


def test_a_frozen_norm_keeps_its_statistics():
    module = NormActivation(4, 0.33).train()
    module.norm.eval()
    before = module.norm.running_mean.clone()
    module(torch.randn(50, 4))
    assert torch.equal(module.norm.running_mean, before) and module.norm.num_batches_tracked == 0
