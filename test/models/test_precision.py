"""Mixed precision and TF32: what is switched, what stays float32, and that switches are put back."""

from contextlib import nullcontext

import pytest
import torch
from conftest import make_batch

from mlreco.models.chain import Chain, ChainLoss
from mlreco.models.layers.precision import autocast, tf32
from mlreco.sparse import engine
from mlreco.sparse.maps.kernel_map import keys_from_coordinates, submanifold_map
from mlreco.sparse.plain import kernels as plain
from mlreco.sparse.plain.convolution_function import sparse_convolution
from mlreco.sparse.precision import autocast_dtype, residual_sum

CPU = torch.device("cpu")
FLOATS = ("segmentation", "embeddings", "margins", "seediness")
UNIT_ROUNDOFF = {"fp16": 2.0**-11, "bf16": 2.0**-8}


def forced(chosen):
    return engine.use_engine(chosen) if chosen else nullcontext()


def tf32_flags():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_as_asked_inside_and_as_before_outside(allowed):
    before = tf32_flags()
    with tf32(allowed):
        assert tf32_flags() == (allowed, allowed)
    assert tf32_flags() == before
    with pytest.raises(ZeroDivisionError), tf32(not allowed):
        _ = 1 / 0
    assert tf32_flags() == before


def test_autocast_tells_its_type_only_inside():
    features = torch.zeros(1)
    for amp, dtype in (("off", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)):
        with autocast(amp, CPU):
            assert autocast_dtype(features) == dtype
    assert autocast_dtype(features) == torch.float32


@pytest.fixture
def convolution():
    torch.manual_seed(0)
    sites = make_batch([80])["input_data"].coordinates
    kernel_map = submanifold_map(keys_from_coordinates(sites.numpy()))
    features = torch.randn(len(sites), 5, requires_grad=True)
    weight = torch.randn(27, 5, 7, requires_grad=True)
    return features, weight, kernel_map


@pytest.mark.parametrize("amp", ["fp16", "bf16"])
@pytest.mark.parametrize("chosen", [None, engine.PLAIN])
def test_a_convolution_rounds_operands_and_result_and_sums_in_float32(convolution, amp, chosen):
    features, weight, kernel_map = convolution
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[amp]
    exact = plain.conv_forward(features.detach().to(dtype).double(), weight.detach().to(dtype).double(), kernel_map)
    with autocast(amp, CPU), forced(chosen):
        kernels = (chosen or engine.CPU).kernels
        out = sparse_convolution(features, weight, kernel_map, kernels)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), exact, rtol=1.01 * UNIT_ROUNDOFF[amp], atol=1e-5)
    out.float().pow(2).sum().backward()
    assert features.grad.dtype == weight.grad.dtype == torch.float32
    grads = features.grad.clone(), weight.grad.clone()
    features.grad = weight.grad = None
    sparse_convolution(features, weight, kernel_map, engine.CPU.kernels).pow(2).sum().backward()
    for found, expected in zip(grads, (features.grad, weight.grad), strict=True):
        error = (found - expected).abs().max() / expected.abs().max()
        assert 0 < error < 8 * UNIT_ROUNDOFF[amp]


@pytest.fixture
def chain(model_config):
    torch.manual_seed(0)
    chain = Chain.from_config(model_config)
    for seed in range(3):
        chain.train()(make_batch([120, 80], seed=10 + seed))
    return chain


@pytest.mark.parametrize("amp", ["fp16", "bf16"])
def test_products_leave_a_mixed_precision_network_in_float32_and_near(chain, amp):
    batch = make_batch([150, 0, 70])
    chain.eval()
    with torch.no_grad():
        expected = chain(batch)
        with autocast(amp, CPU):
            found = chain(batch)
    for name in FLOATS:
        assert found[name].dtype == torch.float32
        error = (found[name] - expected[name]).abs().max()
        assert 0 < error < 20 * UNIT_ROUNDOFF[amp], name


def test_embeddings_are_not_rounded_to_the_type_of_autocast(chain):
    with torch.no_grad(), autocast("bf16", CPU):
        embeddings = chain.eval()(make_batch([300]))["embeddings"]
    assert (embeddings != embeddings.bfloat16().float()).float().mean() > 0.9


@pytest.mark.parametrize("chosen", [None, engine.PLAIN])
def test_gradients_in_bf16_are_float32_and_point_the_same_way(chain, model_config, chosen):
    batch, loss = make_batch([200, 90]), ChainLoss.from_config(model_config)
    gradients = []
    with forced(chosen):
        for amp in ("off", "bf16"):
            chain.train().zero_grad()
            with autocast(amp, CPU):
                products = chain(batch)
            loss(products, products["labels"])["loss"].backward()
            assert all(parameter.grad.dtype == torch.float32 for parameter in chain.parameters())
            gradients.append(torch.cat([parameter.grad.ravel() for parameter in chain.parameters()]))
    assert not torch.equal(*gradients)
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.95


@pytest.mark.parametrize(("amp", "dtype"), [("fp16", torch.float16), ("bf16", torch.float32)])
def test_residuals_are_added_in_float32_where_bf16_would_swallow_them(amp, dtype):
    small = 2.0**-9
    features, inner = torch.ones(1, 2), torch.full((1, 2), small)
    shortcut = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.eye_(shortcut.weight)
    half = {"fp16": torch.float16, "bf16": torch.bfloat16}[amp]
    with autocast(amp, CPU):
        for way in (shortcut, torch.nn.Identity()):
            found = residual_sum(inner.to(half), way, features.to(half))
            assert found.dtype == dtype
            assert torch.equal(found.float(), torch.full((1, 2), 1 + small))
    assert residual_sum(inner.double(), torch.nn.Identity(), features.double()).dtype == torch.float64


def test_an_empty_batch_in_mixed_precision(chain):
    with torch.no_grad(), autocast("bf16", CPU):
        products = chain.eval()(make_batch([0, 0]))
    assert all(len(products[name]) == 0 for name in FLOATS)
