"""What the adapter hands to spconv: arithmetic, mode, shared kernel maps, sizes. Runs on spconv's CPU code."""

import copy
import inspect
import warnings
from types import SimpleNamespace

import pytest
import torch
from conftest import make_batch

from mlreco.errors import UserError
from mlreco.models.chain import Chain
from mlreco.models.layers.precision import autocast, tf32
from mlreco.models.network_input import sparse_image
from mlreco.sparse import SparseConv3d, SparseInverseConv3d, SubMConv3d, engine, unchanging
from mlreco.sparse.cuda import layers as cuda

spconv = pytest.importorskip("spconv.pytorch")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def on_spconv(monkeypatch, set_threads):
    set_threads(1)
    monkeypatch.setattr(engine, "_forced", engine.CUDA)


@pytest.fixture
def image():
    return sparse_image(make_batch([120, 60])["input_data"], 3)


def down_and_up():
    torch.manual_seed(1)
    return SparseConv3d(4, 6, 2, stride=2, bias=False, indice_key="down"), SparseInverseConv3d(6, 3, 2, "down")


@torch.no_grad()
def test_spconv_follows_the_tf32_switch_of_torch(image):
    from spconv import constants

    layer = SubMConv3d(4, 5, 3, bias=False, indice_key="level")
    for allowed in (True, False, True):
        with tf32(allowed):
            layer(image)
            assert constants.SPCONV_ALLOW_TF32 is allowed
    layer(image)
    assert constants.SPCONV_ALLOW_TF32 is False


def test_kernel_maps_keep_what_a_gradient_needs_also_in_frozen_layers(image):
    """spconv's layers in evaluation mode stop gradients; ours take the mode from whether gradients are recorded."""
    layer = SubMConv3d(4, 5, 3, bias=False, indice_key="level").eval()
    layer(image)
    assert layer.__dict__["_spconv_layer"][1].training
    with torch.no_grad():
        layer.train()(image)
    assert not layer.__dict__["_spconv_layer"][1].training


def test_a_gradient_passes_a_frozen_layer(image):
    layer = SubMConv3d(4, 5, 3, bias=False, indice_key="level").eval().requires_grad_(False)
    features = image.features.clone().requires_grad_()
    assert layer(image.replace_feature(features)).features.requires_grad


@torch.no_grad()
def test_two_networks_share_the_kernel_maps_of_one_image(image, monkeypatch):
    (down, up), (other_down, other_up) = down_and_up(), down_and_up()
    made = []
    generate = spconv.ops.get_indice_pairs
    monkeypatch.setattr(spconv.ops, "get_indice_pairs", lambda *a, **k: made.append(0) or generate(*a, **k))
    first = up(down(image))
    assert len(made) == 1
    coarse = other_down(image)
    second = other_up(coarse)
    assert len(made) == 1
    assert coarse.spatial_shape == [n // 2 for n in image.spatial_shape]
    assert torch.equal(first.features, second.features)
    assert torch.equal(second.indices, image.indices.int())


@torch.no_grad()
def test_a_key_in_use_for_another_geometry_is_refused(image):
    down_and_up()[0](image)
    with pytest.raises(ValueError, match="indice_key 'down' is in use for another convolution"):
        SparseConv3d(4, 6, 3, stride=3, bias=False, indice_key="down")(image)


@torch.no_grad()
def test_equals_the_own_engine_with_biases(image, monkeypatch):
    down, up = down_and_up()
    found = up(down(image)).features
    monkeypatch.setattr(engine, "_forced", None)
    plain = sparse_image(make_batch([120, 60])["input_data"], 3)
    torch.testing.assert_close(found, up(down(plain)).features, rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("amp", "inside"), [("fp16", torch.float16), ("bf16", torch.float32)])
def test_mixed_precision_reaches_spconv_in_a_type_that_it_has(image, amp, inside, monkeypatch):
    layer = SubMConv3d(4, 5, 3, bias=False, indice_key="level")
    seen = []
    call = spconv.SubMConv3d.forward

    def watched(twin, tensor):
        seen.append((tensor.features.dtype, twin.weight.dtype, torch.is_autocast_enabled("cpu")))
        return call(twin, tensor)

    monkeypatch.setattr(spconv.SubMConv3d, "forward", watched)
    expected = layer(image).features
    with autocast(amp, CPU):
        found = layer(image).features
    assert seen == [(torch.float32, torch.float32, False), (inside, inside, False)]
    assert found.dtype == {"fp16": torch.float16, "bf16": torch.bfloat16}[amp]
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)


@torch.no_grad()
def test_a_layer_that_ran_in_half_can_be_copied_and_runs_in_float_again(image):
    layer = SubMConv3d(4, 5, 3, bias=False, indice_key="level")
    with torch.enable_grad(), autocast("fp16", CPU):
        layer(image)
    assert torch.equal(copy.deepcopy(layer)(image).features, layer(image).features)


@torch.no_grad()
def test_a_table_beyond_what_spconv_counts_is_refused(image, monkeypatch):
    monkeypatch.setattr(cuda, "MAX_BYTES", image.features.numel() * 4)
    SubMConv3d(4, 4, 3, bias=False)(image)
    message = r"a batch of \d+ voxels with 5 features is more than the 2 GiB that spconv takes in SubMConv3d; lower"
    with pytest.raises(UserError, match=message):
        SubMConv3d(4, 5, 3, bias=False)(image)


@torch.no_grad()
def test_a_chain_builds_each_kernel_map_once(model_config, monkeypatch):
    chain = Chain.from_config(model_config).eval()
    made = []
    generate = spconv.ops.get_indice_pairs
    monkeypatch.setattr(spconv.ops, "get_indice_pairs", lambda *a, **k: made.append(0) or generate(*a, **k))
    chain(make_batch([100, 50]))
    assert len(made) == 3 + 2


def test_shared_maps_of_the_cuda_algorithm_go_where_spconv_takes_them(image, monkeypatch):
    """The algorithm runs on CUDA alone; that every map is handed to the argument of its name can be seen here."""
    from spconv.pytorch import functional

    names = (
        "pair_fwd",
        "pair_bwd",
        "pair_mask_fwd_splits",
        "pair_mask_bwd_splits",
        "mask_argsort_fwd_splits",
        "mask_argsort_bwd_splits",
        "masks",
    )
    maps = SimpleNamespace(**{name: object() for name in names})
    maps.ksize, maps.stride, maps.padding = [2] * 3, [2] * 3, [0] * 3
    maps.spatial_shape, maps.indices = image.spatial_shape, image.indices
    maps.out_indices, maps.out_spatial_shape = image.indices[:7].int(), [8, 8, 8]
    given = {}

    def implicit_gemm(*arguments):
        bound = inspect.signature(functional.SparseImplicitGemmFunction.forward).bind(None, *arguments)
        given.update(bound.arguments)
        return torch.zeros(7, 6)

    monkeypatch.setattr(functional, "implicit_gemm", implicit_gemm)
    twin = spconv.SparseConv3d(4, 6, 2, stride=2, bias=False)
    tensor = spconv.SparseConvTensor(image.features, image.indices.int(), image.spatial_shape, 2)
    out = cuda._reuse(twin, tensor, maps)
    assert all(given[name] is getattr(maps, name) for name in names)
    assert given["filters"] is twin.weight and given["features"] is tensor.features
    assert given["num_activate_out"] == 7 and given["is_train"] is True and given["is_subm"] is False
    assert out.indices is maps.out_indices and out.spatial_shape == [8, 8, 8] and out.features.shape == (7, 6)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_network_waits_once_for_the_device(model_config):
    """For the numbers of sites of all levels together, however many networks there are on the image."""
    chain = Chain.from_config(model_config).cuda().eval()
    batch = {name: blob.to("cuda") for name, blob in make_batch([100, 50]).items()}
    with torch.inference_mode(), unchanging(chain):
        chain(batch)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                chain(batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert sum("synchronizing" in str(warning.message) for warning in told) == 1
