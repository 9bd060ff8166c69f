"""The fused U-Net of inference against the modules it stands for."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from conftest import make_batch

from mlreco.models.network_input import sparse_image
from mlreco.sparse import engine
from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder


@pytest.fixture(params=[(4, 3, 1), (16, 2, 2), (5, 1, 2)], ids=str)
def unet(request):
    filters, depth, reps = request.param
    torch.manual_seed(0)
    encoder, decoder = UNetEncoder(4, filters, depth, reps), UNetDecoder(filters, depth, reps)
    for module in (*encoder.modules(), *decoder.modules()):
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3.0)
    return encoder.eval(), decoder.eval(), depth


@pytest.mark.parametrize("sizes", [[200, 60], [0, 30], [1], [0]])
@torch.no_grad()
def test_equals_the_modules(unet, sizes):
    encoder, decoder, depth = unet
    voxels = make_batch(sizes)["input_data"]
    image = sparse_image(voxels, depth)
    assert engine.CPU.infers_as_a_whole(encoder, image.features)
    found_levels = encoder(image)
    found = decoder(found_levels)
    with engine.use_engine(engine.PLAIN):
        image = sparse_image(voxels, depth)
        expected_levels = encoder(image)
        expected = decoder(expected_levels)
    for a, b in zip([*found_levels, found], [*expected_levels, expected], strict=True):
        assert torch.equal(a.indices, b.indices) and a.spatial_shape == b.spatial_shape
        torch.testing.assert_close(a.features, b.features, rtol=1e-4, atol=1e-4)


def test_not_taken_in_training_or_with_gradients(unet):
    encoder, _, depth = unet
    features = sparse_image(make_batch([30])["input_data"], depth).features
    assert not engine.CPU.infers_as_a_whole(encoder, features)
    with torch.no_grad():
        assert not engine.CPU.infers_as_a_whole(encoder.train(), features)
        assert not engine.CPU.infers_as_a_whole(encoder.eval(), features.double())


def test_threads_may_call_a_fresh_model_at_once(unet):
    encoder, decoder, depth = unet
    images = [sparse_image(make_batch([90 + 30 * number])["input_data"], depth) for number in range(8)]

    @torch.no_grad()
    def run(image):
        return decoder(encoder(image)).features

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, images))
    assert all(torch.equal(a, run(image)) for a, image in zip(found, images, strict=True))


@torch.no_grad()
def test_a_copy_does_not_take_over_what_was_made(unet):
    encoder, _, depth = unet
    image = sparse_image(make_batch([50])["input_data"], depth)
    before = encoder(image)[0].features
    other = pickle.loads(pickle.dumps(encoder))
    for network, is_known in ((encoder, True), (other, False)):
        memories = [layer.__dict__.get("_made_for_inference") for layer in network.modules()]
        assert any(memory is not None and memory.made for memory in memories) is is_known
    assert torch.equal(other(image)[0].features, before)
