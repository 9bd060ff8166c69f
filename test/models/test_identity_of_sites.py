"""A kernel map serves the convolution and the sites it was built from alone, on every engine and path."""

import numpy as np
import pytest
import torch
from conftest import make_batch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlreco.models.network_input import sparse_image
from mlreco.sparse import SparseConv3d, SparseConvTensor, SparseInverseConv3d, SubMConv3d, engine
from mlreco.sparse.layers.residual import NormActivation, ResidualBlock, activate_and_convolve
from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder

SHAPE = (8, 8, 8)
IN_USE = "in use for other sites|in use for another convolution|led to other sites|no convolution of kernel size"


@pytest.fixture(params=["plain", "compiled", "spconv"])
def every_engine(request, monkeypatch, set_threads):
    set_threads(1)  # spconv's CPU code is right with one thread alone
    if request.param == "spconv":
        pytest.importorskip("spconv.pytorch")
        monkeypatch.setattr(engine, "_forced", engine.CUDA)
    elif request.param == "plain":
        monkeypatch.setattr(engine, "_forced", engine.PLAIN)


def random_sites(rng, count):
    chosen = rng.choice(2 * 8**3, size=count, replace=False)
    return torch.from_numpy(np.stack(np.unravel_index(chosen, (2, *SHAPE)), axis=1).astype(np.int32))


def images(seed, count=12):
    """The same sites twice, once in the same tensor; others of the same number; the same ones of a larger image."""
    rng = np.random.default_rng(seed)
    sites, others = random_sites(rng, count), random_sites(rng, count)
    kept = {}
    tables = [(sites, SHAPE), (sites, SHAPE), (sites.clone(), SHAPE), (others, SHAPE), (sites, (10, 8, 8))]
    features = torch.from_numpy(rng.normal(size=(len(tables), count, 2)).astype(np.float32))
    return [SparseConvTensor(x, table, shape, 2, kept) for x, (table, shape) in zip(features, tables, strict=True)]


def what(image):
    return image.indices.tolist(), image.spatial_shape


def by_site(image):
    """Features in the order of the sites: that of a strided convolution's output is the engine's own."""
    rows = sorted(range(len(image.indices)), key=lambda row: image.indices[row].tolist())
    return image.indices[rows].long(), image.features[rows]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["submanifold", "strided", "inverse"]),
        st.integers(0, 20),
        st.sampled_from(["a", "b"]),
        st.booleans(),
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), steps=STEPS)
@torch.no_grad()
def test_a_key_serves_one_convolution_on_one_table_of_sites(every_engine, seed, steps):
    """Whatever layers are called in whatever order: each gives what it gives without a key, or an error."""
    torch.manual_seed(seed)
    tensors = images(seed)
    known = {}
    for kind, number, key, is_large in steps:
        image = tensors[number % len(tensors)]
        size = (5 if is_large else 3) if kind == "submanifold" else (4 if is_large else 2)
        if min(image.spatial_shape) < size:
            continue
        if kind == "inverse":
            layer, before = SparseInverseConv3d(2, 2, size, indice_key=key), known.get(key)
            fits = before is not None and before[:2] == ("strided", size) and before[3] == what(image)
        else:
            make = {"submanifold": (SubMConv3d, {}), "strided": (SparseConv3d, {"stride": 2, "padding": 0})}
            cls, options = make[kind]
            layer, before = cls(2, 2, size, indice_key=key, **options), known.get(key)
            fits = before is None or before[:3] == (kind, size, what(image))
        if not fits:
            with pytest.raises(ValueError, match=IN_USE):
                layer(image)
            continue
        out = layer(image)
        if kind == "inverse":
            assert what(out) == before[2]
            # The same with an image of its own, on which nothing else has been done.
            fine = SparseConvTensor(torch.zeros(len(out.indices), 2), out.indices, out.spatial_shape, 2)
            coarse = SparseConv3d(2, 2, size, 2, indice_key=key)(fine)
            rows = [image.indices.tolist().index(site) for site in coarse.indices.tolist()]
            expected = layer(coarse.replace_feature(image.features[rows]))
        else:
            known.setdefault(key, (kind, size, what(image), what(out)))
            expected = layer(SparseConvTensor(image.features, image.indices, image.spatial_shape, 2))
            tensors.append(out)
        for found, wanted in zip(by_site(out), by_site(expected), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("is_inference", [False, True])
def test_sites_changed_in_place_are_other_sites(every_engine, is_inference):
    with torch.inference_mode(is_inference):
        image = images(1)[0]
        image.indices = image.indices.clone()
        layer = SubMConv3d(2, 2, 3, indice_key="a")
        layer(image)
        layer(image)
        image.indices.copy_(images(2)[0].indices)
        with pytest.raises(ValueError, match="in use for other sites"):
            layer(image)
        fresh = SparseConvTensor(image.features, image.indices, SHAPE, 2)
        expected = SubMConv3d(2, 2, 3)
        expected.load_state_dict(layer.state_dict())
        torch.testing.assert_close(expected(image).features, expected(fresh).features)


def paths(image):
    """Every way in which a kernel map is taken, as calls that must fail where its key belongs to other sites."""
    torch.manual_seed(0)
    block, activation = ResidualBlock(2, 2, 0.33, "level_0"), NormActivation(2, 0.33)
    down, encoder = SparseConv3d(2, 4, 2, 2, bias=False, indice_key="down_0"), UNetEncoder(2, 2, 2, 1)
    yield "layer", lambda: SubMConv3d(2, 2, 3, indice_key="level_0")(image)
    yield "block", lambda: block.train()(image)
    yield "strided", lambda: activate_and_convolve(activation.train(), down, image)
    yield "encoder in training", lambda: encoder.train()(image)
    yield "fused encoder", torch.no_grad()(lambda: encoder.eval()(image))


@pytest.mark.parametrize("path", ["layer", "block", "strided", "encoder in training", "fused encoder"])
def test_other_sites_of_the_same_number_are_refused_on_every_path(every_engine, path):
    first, *_, other, _ = images(5)
    dict(paths(first))[path]()
    dict(paths(first))[path]()
    with pytest.raises(ValueError, match="in use for other sites"):
        dict(paths(other))[path]()


@pytest.mark.parametrize("is_training", [False, True])
def test_a_decoder_takes_the_levels_of_one_image_alone(every_engine, is_training):
    torch.manual_seed(0)
    encoder, decoder = UNetEncoder(4, 2, 3, 1).train(is_training), UNetDecoder(2, 3, 1).train(is_training)
    with torch.set_grad_enabled(is_training):
        levels, others = (encoder(sparse_image(make_batch([60], seed)["input_data"], 3)) for seed in (1, 2))
        decoder(levels)
        with pytest.raises(ValueError, match=r"no convolution|led to other sites|on other sites"):
            decoder([*levels[:2], others[2]])
        with pytest.raises(ValueError, match=r"no convolution|led to other sites|on other sites"):
            decoder([others[0], *levels[1:]])
