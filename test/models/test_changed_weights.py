"""Inference sees every change of a network, whatever made it: the fused path against the modules called one by one."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from conftest import draw_norms, make_batch
from torch import nn
from torch.nn.utils import prune

from mlreco.models.layers.head import Head
from mlreco.models.network_input import sparse_image
from mlreco.sparse import SparseConv3d, SparseInverseConv3d, SubMConv3d, engine
from mlreco.sparse.cpu import inference
from mlreco.sparse.gathered.engine import GatherEngine
from mlreco.sparse.gathered.plan import plan_of_encoder
from mlreco.sparse.layers.norm import VoxelBatchNorm
from mlreco.sparse.layers.norm_activation import NormActivation
from mlreco.sparse.layers.residual import ResidualBlock
from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder
from mlreco.sparse.weight_cache import remembered, unchanging

DEPTH = 2


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = UNetEncoder(4, 4, DEPTH, 1), UNetDecoder(4, DEPTH, 1)

    def forward(self, image):
        return self.decoder(self.encoder(image)).features


@pytest.fixture(params=["compiled", "tables"], autouse=True)
def fused_by(request, monkeypatch):
    """The engine that computes the network as a whole where nothing has been changed."""
    if request.param == "tables":
        monkeypatch.setattr(engine, "_forced", GatherEngine())
    return request.param


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Network()
    draw_norms(network)
    return network.eval()


def image():
    return sparse_image(make_batch([60, 20])["input_data"], DEPTH)


def convolution(network):
    return network.encoder.blocks[0][0].convolution_1


def norm(network):
    return network.decoder.blocks[0][0].activation_1.norm


def write_data(network):
    convolution(network).weight.data.mul_(2)


def write_data_of_a_norm(network):
    norm(network).running_var.data.mul_(2)


def average(network):
    for mine, other in zip(network.parameters(), Network().parameters(), strict=True):
        mine.data = mine.data * 0.5 + other.data * 0.5


def copy_in(network):
    convolution(network).weight.copy_(torch.randn_like(convolution(network).weight))


def write_through_numpy(network):
    convolution(network).weight.detach().numpy()[0] = 0.5


def write_a_single_number(network):
    network.encoder.input.weight.data.view(-1)[-1] += 1.0


def load(network):
    network.load_state_dict(Network().state_dict())


def load_in_place_of(network):
    network.load_state_dict({n: t * 1.5 for n, t in network.state_dict().items()}, assign=True)


def exchange_a_parameter(network):
    convolution(network).weight = nn.Parameter(torch.randn_like(convolution(network).weight))


def step(network):
    network.train()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    network.eval()


def fused_step_in_evaluation(network):
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.Adam(network.parameters(), lr=0.1, fused=True).step()


def move_statistics(network):
    network.train()
    network(image())
    network.eval()


def change_a_constant(network):
    norm(network).eps = 0.5
    network.encoder.activations[0].leakiness = 0.9
    network.encoder.blocks[0][0].activation_2.leakiness = 0.7


def change_an_eps(network):
    network.encoder.blocks[0][0].activation_1.norm.eps = norm(network).eps = 0.5


def change_the_leakiness(network):
    for module in network.encoder.modules():
        if isinstance(module, NormActivation):
            module.leakiness = 0.9


def widen_a_kernel(network):
    network.encoder.input = SubMConv3d(4, 4, 5, bias=False, indice_key="wide")


def exchange_a_layer(network):
    network.encoder.input = SubMConv3d(4, 4, 5, indice_key="wide")
    network.decoder.blocks[0][0].convolution_2 = SubMConv3d(4, 4, 3, bias=True, indice_key="level_0")


def add_a_bias_to_the_first_layer(network):
    network.encoder.input = SubMConv3d(4, 4, 3, indice_key="level_0")


def add_a_bias_to_a_halving(network):
    network.encoder.downsamplings[0] = SparseConv3d(4, 8, 2, stride=2, indice_key="down_0")


def add_a_bias_to_what_undoes_it(network):
    network.decoder.upsamplings[0] = SparseInverseConv3d(8, 4, 2, indice_key="down_0")


def exchange_a_shortcut(network):
    network.decoder.blocks[0][0].shortcut = nn.Linear(8, 4, bias=True)


def exchange_a_norm(network):
    network.encoder.blocks[0][0].activation_2.norm = nn.Identity()
    network.encoder.blocks[1][0].activation_1.norm = VoxelBatchNorm(8, affine=False)


def train_a_norm(network):
    norm(network).train()


def add_a_block(network):
    network.encoder.blocks[0].append(ResidualBlock(4, 4, 0.1, "level_0"))


def patch_a_forward(network):
    layer = convolution(network)
    layer.forward = lambda image: SubMConv3d.forward(layer, image.replace_feature(image.features * 2))


def patch_a_weight(network):
    layer = convolution(network)
    layer.kernel_major_weight = lambda: 2 * SubMConv3d.kernel_major_weight(layer)


def generate_a_weight(network):
    """Have a tensor in place of a parameter, as networks do whose weights are the output of another."""
    layer = convolution(network)
    del layer.weight
    layer.weight = torch.randn(4, 3, 3, 3, 4)
    network(image())
    layer.weight.mul_(2)


def parametrise(network):
    nn.utils.parametrizations.weight_norm(convolution(network))
    convolution(network).parametrizations.weight.original0.data.mul_(3)


def prune_a_layer(network):
    prune.l1_unstructured(convolution(network), "weight", amount=0.9)


CHANGES = (
    *(write_data, write_data_of_a_norm, average, copy_in, write_through_numpy, write_a_single_number),
    *(load, load_in_place_of, exchange_a_parameter, step, fused_step_in_evaluation, move_statistics),
    *(change_a_constant, exchange_a_layer, exchange_a_shortcut, exchange_a_norm, train_a_norm, add_a_block),
    *(change_an_eps, change_the_leakiness, widen_a_kernel),
    *(add_a_bias_to_the_first_layer, add_a_bias_to_a_halving, add_a_bias_to_what_undoes_it, generate_a_weight),
    *(patch_a_forward, patch_a_weight, parametrise, prune_a_layer),
)


@torch.no_grad()
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_seen_at_once(network, change):
    before = network(image())
    network(image())
    change(network)
    if change is not train_a_norm:
        network.eval()  # layers are made in training mode, in which nothing is fused
    found = network(image())
    with engine.use_engine(engine.PLAIN):
        expected = network(image())
    assert not torch.allclose(found, before, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_half_precision_and_back(network):
    with torch.no_grad():
        before = network(image())
        network.half()
        half = network.float()(image())
        with engine.use_engine(engine.PLAIN):
            torch.testing.assert_close(half, network(image()), rtol=1e-4, atol=1e-4)
    assert not torch.equal(half, before)


@torch.no_grad()
def test_a_network_in_double_precision_is_left_to_the_modules(network):
    expected = network(image())
    network.double()
    tensor = image()
    found = network(tensor.replace_feature(tensor.features.double()))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("number", ["weight", "bias", "running_mean", "running_var"])
@pytest.mark.parametrize("is_training", [False, True])
def test_a_number_for_all_features_is_refused_as_by_torch(network, number, is_training):
    """Not broadcast over the features, which a folded normalisation would do in silence."""
    network.train(is_training)
    value = torch.full((1,), 3.0)
    setattr(norm(network), number, nn.Parameter(value) if number in ("weight", "bias") else value)
    with torch.set_grad_enabled(is_training), pytest.raises((RuntimeError, ValueError), match=r"elements|shape"):
        network(image())


def test_statistics_that_are_not_tracked_stay(network):
    layer = norm(network.train())
    layer.track_running_stats = False
    before = {name: value.clone() for name, value in layer.named_buffers()}
    network(image()).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in layer.named_buffers())


@torch.no_grad()
def test_not_a_number_is_seen(network):
    network(image())
    convolution(network).weight.data.fill_(torch.nan)
    assert network(image()).isnan().any()
    convolution(network).weight.data.fill_(0.25)
    assert network(image()).isfinite().all()


@torch.no_grad()
def test_weights_are_packed_again_after_changes_alone(network, fused_by, monkeypatch):
    if fused_by == "tables":
        pytest.skip("counts the packing of the compiled kernels")
    packed = []
    pack = inference.kernels.pack_weight
    monkeypatch.setattr(inference.kernels, "pack_weight", lambda *arguments: packed.append(0) or pack(*arguments))
    network(image())
    convolutions = len(packed)
    network(image())
    assert len(packed) == convolutions > 0
    convolution(network).weight.data.mul_(2)
    network(image())
    assert len(packed) == convolutions + 1
    with unchanging(network):
        network(image())
        network(image())
    assert len(packed) == convolutions + 1


def test_what_is_derived_is_derived_again_on_another_device_and_for_more_tensors():
    layer, one = nn.Identity(), torch.ones(3)
    made = []
    for tensors in ([one], [one], [one.to("meta")], [one], [one, one], [one]):
        remembered(layer, "purpose", lambda given=tensors: given, lambda: made.append(0))
    assert len(made) == 5


def test_a_plan_shares_no_memory_with_the_weights():
    """So that it starts where kernels may read sixteen bytes at a time, wherever the weights do."""
    encoder = UNetEncoder(1, [1, 2], 2, 1).eval()
    encoder.blocks[0][0].shortcut = nn.Linear(1, 1, bias=False)
    weights = {parameter.data_ptr() for parameter in encoder.parameters()}
    plan = plan_of_encoder(encoder, torch.float32)
    convolutions = [
        plan.entry,
        *plan.downs,
        *(c for blocks in plan.levels for block in blocks for c in vars(block).values()),
    ]
    tensors = [t for c in convolutions for t in (c.weight, c.shortcut, *(c.then or ())[:2]) if t is not None]
    assert len(tensors) > len(convolutions) and all(t.is_contiguous() for t in tensors)
    assert weights.isdisjoint(t.data_ptr() for t in tensors)


@torch.no_grad()
def test_a_promise_holds_for_its_block_alone(network):
    """Inside, nothing is compared; at the end, and in the next block, all is."""
    with unchanging(network), unchanging(network):
        before = network(image())
        convolution(network).weight.data.mul_(2)
        assert torch.equal(network(image()), before)
    after = network(image())
    assert not torch.equal(after, before)
    convolution(network).weight.data.mul_(2)
    with unchanging(network):
        assert not torch.equal(network(image()), after)
    with engine.use_engine(engine.PLAIN):
        expected = network(image())
    torch.testing.assert_close(network(image()), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_threads_share_a_promise(network):
    expected = network(image())

    def run(_):
        with torch.no_grad(), unchanging(network):
            return network(image())

    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(run, range(16)))
    assert all(memory.scope is None for m in network.modules() if (memory := m.__dict__.get("_made_for_inference")))


def names_of_levels(network):
    return [name for name, module in network.named_modules() if name and not isinstance(module, nn.ModuleList)]


@torch.no_grad()
@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("kind", ["forward", "forward_pre"])
def test_a_hook_on_any_module_is_called(network, kind, is_training):
    """On every module that the modules' own code calls: encoder and decoder, levels, blocks and their layers."""
    network.train(is_training)
    for name in names_of_levels(network):
        called, module = [], network.get_submodule(name)
        handle = getattr(module, f"register_{kind}_hook")(lambda *_, called=called: called.append(0))
        with torch.set_grad_enabled(is_training):
            network(image())
            handle.remove()
            assert called, name
            network(image())
        assert len(called) == 1, name


@pytest.mark.parametrize("kind", ["full_backward", "full_backward_pre"])
def test_a_hook_on_gradients_is_called(network, kind):
    network.train()
    for name in names_of_levels(network):
        module, called = network.get_submodule(name), []
        if isinstance(module, (SubMConv3d, nn.Sequential, ResidualBlock)) or "." not in name or "sampling" in name:
            continue  # their inputs and outputs are images, which torch does not look into
        handle = getattr(module, f"register_{kind}_hook")(lambda *_, called=called: called.append(0))
        tensor = image()
        network(tensor.replace_feature(tensor.features.requires_grad_())).sum().backward()
        handle.remove()
        assert called, name


@torch.no_grad()
@pytest.mark.parametrize("is_training", [False, True])
def test_a_hook_on_all_modules_is_called(network, is_training):
    network.train(is_training)
    called = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: called.append(module))
    try:
        with torch.set_grad_enabled(is_training):
            network(image())
    finally:
        handle.remove()
    assert {id(module) for module in called} >= {id(network.get_submodule(name)) for name in names_of_levels(network)}


@torch.no_grad()
def test_a_hook_may_change_the_output(network):
    before = network(image())
    network.encoder.blocks[1].register_forward_hook(lambda _, __, out: out.replace_feature(out.features * 2))
    found = network(image())
    with engine.use_engine(engine.PLAIN):
        torch.testing.assert_close(found, network(image()), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, before)
    assert torch.equal(copy.deepcopy(network)(image()), found)


@torch.no_grad()
def test_a_hook_on_the_layers_of_a_head_is_called():
    head, called = Head(4, 2, 0.33).eval(), []
    head(torch.randn(9, 4))
    for layer in head:
        layer.register_forward_hook(lambda module, *_: called.append(type(module).__name__))
    head(torch.randn(9, 4))
    assert called == ["NormActivation", "Linear"]
