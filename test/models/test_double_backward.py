"""Gradients of gradients: of every function of the package whose gradient is written by hand."""

import importlib
import pkgutil
from types import SimpleNamespace

import pytest
import torch
from conftest import make_batch
from torch import nn
from torch.autograd import forward_ad

import mlreco
from mlreco.models.losses.kernel import pair_log_scores
from mlreco.models.network_input import sparse_image
from mlreco.sparse import SparseConv3d, SubMConv3d, engine
from mlreco.sparse.layers.residual import NormActivation, ResidualBlock, activate_and_convolve
from mlreco.sparse.layers.unet import UNetEncoder
from mlreco.training.synced_norms import _Total


def penalty(module, image, apply, scale=1.0):
    """Gradients of a penalty on the gradient of a linear function of the output, and the function's own."""
    module = module.train()
    module.zero_grad()
    features = image.features.detach().clone().requires_grad_()
    out = apply(module, image.replace_feature(features))
    direction = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape)
    (grad,) = torch.autograd.grad((out * direction).sum(), features, create_graph=True)
    (scale * grad.square().sum() + out.sum()).backward()
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    return {"features": features.grad, **found}


class _Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.activation, self.convolution = NormActivation(5, 0.33), SparseConv3d(5, 4, 2, 2, bias=False)


CASES = {
    "_SparseConvolution": (lambda: SubMConv3d(5, 4, 3), lambda m, image: m(image).features),
    "_NormActivation": (lambda: NormActivation(5, 0.33), lambda m, image: m(image.features)),
    "_ActivatedConvolution": (
        _Both,
        lambda m, image: activate_and_convolve(m.activation, m.convolution, image).features,
    ),
    "_ResidualBlock": (lambda: ResidualBlock(5, 4, 0.33, "level"), lambda m, image: m(image).features),
    "_ResidualBlock without shortcut": (lambda: ResidualBlock(5, 5, 0.33, "level"), lambda m, image: m(image).features),
}


@pytest.fixture
def image():
    torch.manual_seed(3)
    image = sparse_image(make_batch([90, 30])["input_data"], 2)
    return image.replace_feature(1 + 2 * torch.randn(len(image.features), 5))


def graph_nodes(tensor):
    nodes, found = [tensor.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in found:
            found.add(node)
            nodes += [following for following, _ in node.next_functions]
    return {node.name().removesuffix("Backward") for node in found}


@pytest.mark.parametrize("case", CASES)
def test_a_gradient_penalty_is_that_of_torch_in_double_precision(case, image):
    make, apply = CASES[case]
    module = make()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    assert case.split()[0] in graph_nodes(apply(module.train(), image.replace_feature(image.features.requires_grad_())))
    found = penalty(module, image, apply, 0.01)
    with engine.use_engine(engine.PLAIN):
        expected = penalty(module.double(), image.replace_feature(image.features.detach().double()), apply, 0.01)
    for name, gradient in expected.items():
        scale = max(1.0, float(gradient.abs().max()))
        assert (found[name].double() - gradient).abs().max() <= 2e-4 * scale, name


def test_a_linear_layer_alone_has_a_penalty_too(image):
    """The gradient of the output is a constant there, so nothing but the function itself knows of the weight."""
    layer = SubMConv3d(5, 4, 3, bias=False)
    features = image.features.clone().requires_grad_()
    out = layer(image.replace_feature(features)).features
    (grad,) = torch.autograd.grad(out.sum(), features, create_graph=True)
    grad.square().sum().backward()
    assert layer.weight.grad.abs().max() > 0.1


@pytest.mark.parametrize("records", [False, True])
@pytest.mark.parametrize("is_training", [False, True])
def test_forward_differentiation_is_refused(image, records, is_training):
    """A derivative of none, that is of zero, would be taken for one."""
    torch.manual_seed(0)
    network = UNetEncoder(5, 4, 1, 1).train(is_training)
    with torch.set_grad_enabled(records), forward_ad.dual_level():
        twofold = forward_ad.make_dual(image.features.float(), torch.ones_like(image.features.float()))
        with pytest.raises(NotImplementedError, match="jvp"):
            network(image.replace_feature(twofold))


def test_spconv_refuses_what_it_has_no_gradient_of(image, monkeypatch, set_threads):
    pytest.importorskip("spconv.pytorch")
    set_threads(1)
    monkeypatch.setattr(engine, "_forced", engine.CUDA)
    layer = SubMConv3d(5, 4, 3, bias=False)
    out = layer(image.replace_feature(image.features.clone().requires_grad_())).features
    with pytest.raises(RuntimeError, match="no gradients of gradients"):
        torch.autograd.grad(out.sum(), layer.weight, create_graph=True)


def test_convolutions_twice_numerically(image):
    image = sparse_image(make_batch([6])["input_data"], 1)
    layer, features = SubMConv3d(2, 2, 3).double(), torch.randn(len(image.features), 2, dtype=torch.float64)

    def convolve(features, weight):
        return torch.func.functional_call(layer, {"weight": weight}, (image.replace_feature(features),)).features

    assert torch.autograd.gradgradcheck(convolve, (features.requires_grad_(), layer.weight))


def test_pair_scores_twice_numerically():
    torch.manual_seed(0)
    pairs = SimpleNamespace(row=torch.tensor([0, 1, 1, 2, 3]), instance=torch.tensor([0, 0, 1, 1, 0]), count=2)
    inputs = torch.randn(4, 3), torch.randn(2, 3), 0.5 + torch.rand(2)
    inputs = [x.double().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(lambda *x: pair_log_scores(*x, pairs), inputs)
    assert torch.autograd.gradgradcheck(lambda *x: pair_log_scores(*x, pairs), inputs)


def test_sums_over_processes_twice_numerically(monkeypatch):
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.mul_(2))  # another one has the same
    values = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(_Total.apply, values)
    assert torch.autograd.gradgradcheck(_Total.apply, values)


def test_every_function_with_a_gradient_of_its_own_is_tested_here():
    for module in pkgutil.walk_packages(mlreco.__path__, "mlreco."):
        if module.name.startswith(("mlreco.models.", "mlreco.training.")):
            importlib.import_module(module.name)
    own = {cls.__name__ for cls in torch.autograd.Function.__subclasses__() if cls.__module__.startswith("mlreco.")}
    assert own == {name for name in CASES if " " not in name} | {"_PairLogScore", "_Total"}
