"""torch.compile leaves the engine alone, torch.export says that it cannot."""

import copy

import pytest
import torch
from torch import nn

from mlreco.sparse import NormActivation, ResidualBlock, SparseConvTensor, SubMConv3d, UNetDecoder, UNetEncoder

INDICES = torch.tensor([[0, 2, 2, 2], [0, 2, 2, 3], [0, 5, 5, 5], [0, 5, 5, 4]])


class Network(nn.Module):
    """Dense layers before and after every kind of layer that an engine computes."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(3, 4), nn.Linear(4, 2)
        self.convolution, self.block = SubMConv3d(4, 4, 3, indice_key="fine"), ResidualBlock(4, 4, 0.33, "level_0")
        self.activation, self.encoder, self.decoder = NormActivation(4, 0.33), UNetEncoder(4, 4, 2), UNetDecoder(4, 2)

    def forward(self, x):
        image = SparseConvTensor.trusted(torch.relu(self.before(x)), INDICES, [8, 8, 8], 1)
        image = self.block(self.convolution(image))
        image = self.decoder(self.encoder(image.replace_feature(self.activation(image.features))))
        return torch.relu(self.after(image.features))


@pytest.fixture
def network():
    torch.manual_seed(0)
    yield Network()
    torch.compiler.reset()


@pytest.mark.parametrize("training", [True, False])
def test_a_compiled_network_computes_the_same(network, training):
    network.train(training)
    twin, x = copy.deepcopy(network), torch.randn(4, 3)
    with torch.set_grad_enabled(training):
        expected = twin(x)
        found = torch.compile(network, backend="eager")(x)
    torch.testing.assert_close(found, expected)
    if training:
        found.square().sum().backward()
        expected.square().sum().backward()
        for mine, theirs in zip(network.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad)


def test_an_export_is_refused(network):
    with pytest.raises(RuntimeError, match="cannot export SubMConv3d: sparse convolutions are computed"):
        torch.export.export(network.eval(), (torch.randn(4, 3),))
