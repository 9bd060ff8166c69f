import numpy as np
import pytest
import sparse_references as references
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.ops import weight_gradient as gradients
from mlreco.sparse.cpu.ops.convolution import Source, convolution, convolve
from mlreco.sparse.cpu.ops.epilogue import Activation, Epilogue
from mlreco.sparse.cpu.ops.panels import pack
from mlreco.sparse.cpu.threads.calls import DirectCalls, QueuedCalls
from mlreco.sparse.maps.kernel_map import (
    coordinates_from_keys,
    downsample_map,
    keys_from_coordinates,
    submanifold_map,
)


def weight_gradient(x, grad, kernel_map, threads=1):
    return gradients.weight_gradient(x, grad, kernel_map, QueuedCalls(threads)).numpy()


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def some_map(rng, kind, events, voxels, edge):
    """A kernel map of one of the three convolutions, and its sites."""
    keys = keys_from_coordinates(references.random_sites(rng, events, voxels, edge))
    if kind == "submanifold":
        return submanifold_map(keys)
    kernel_map, _ = downsample_map(keys)
    return kernel_map if kind == "strided" else kernel_map.transposed()


def check_all(rng, kernel_map, in_channels, out_channels, threads=1):
    """Compare forward and both gradients with the loops over pairs."""
    offsets = len(kernel_map.starts) - 1
    x, grad = normal(rng, kernel_map.n_in, in_channels), normal(rng, kernel_map.n_out, out_channels)
    weight = normal(rng, out_channels, offsets, in_channels).transpose(1, 2, 0)
    size = [np.abs(array) for array in (x, grad, weight)]

    calls = DirectCalls(threads)
    out = convolution(x, pack(weight, calls=calls), kernel_map, calls)
    reference, scale = references.forward(x, weight, kernel_map), references.forward(size[0], size[2], kernel_map)
    references.assert_close(out, reference, scale.max(initial=0))

    backward = convolution(grad, pack(weight.swapaxes(1, 2), calls=calls), kernel_map.transposed(), calls)
    reference = references.input_gradient(grad, weight, kernel_map)
    references.assert_close(backward, reference, references.input_gradient(*size[1:], kernel_map).max(initial=0))

    gradient = weight_gradient(x, grad, kernel_map, threads)
    assert gradient.shape == weight.shape
    reference = references.weight_gradient(x, grad, kernel_map)
    references.assert_close(gradient, reference, references.weight_gradient(*size[:2], kernel_map).max(initial=0))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["submanifold", "strided", "inverse"]),
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 70),
    st.integers(1, 70),
)
def test_kernels_agree_with_loops_over_pairs(seed, kind, events, voxels, in_channels, out_channels):
    rng = np.random.default_rng(seed)
    check_all(rng, some_map(rng, kind, events, voxels, 5), in_channels, out_channels)


@pytest.mark.parametrize(
    ("in_channels", "out_channels"), [(256, 1), (1, 256), (96, 160), (192, 144), (255, 65), (4, 32), (320, 16)]
)
def test_wide_and_narrow_layers(in_channels, out_channels):
    rng = np.random.default_rng(in_channels)
    check_all(rng, some_map(rng, "submanifold", 1, 40, 4), in_channels, out_channels, threads=2)


def test_more_voxels_than_a_block_and_a_chunk():
    rng = np.random.default_rng(5)
    check_all(rng, some_map(rng, "submanifold", 40, 60, 7), 33, 20, threads=3)


@pytest.mark.parametrize("kind", ["submanifold", "strided", "inverse"])
@pytest.mark.parametrize("threads", [1, 2])
def test_no_voxels(kind, threads):
    rng = np.random.default_rng(0)
    check_all(rng, some_map(rng, kind, 0, 0, 5), 8, 24, threads)


def test_offsets_without_pairs_have_no_gradient():
    rng = np.random.default_rng(1)
    sites = np.array([[0, 10 * i, 5, 5] for i in range(200)])
    kernel_map = submanifold_map(keys_from_coordinates(sites))
    gradient = weight_gradient(normal(rng, 200, 32), normal(rng, 200, 16), kernel_map)
    assert not np.delete(gradient, 13, axis=0).any()
    assert gradient[13].all()


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, 1), (2, 2, 0)])
def test_kernels_agree_with_a_dense_convolution(size, stride, padding):
    rng = np.random.default_rng(size)
    shape, channels = (6, 8, 4), (5, 18)
    sites = references.random_sites(rng, 2, 60, 4)
    keys = keys_from_coordinates(sites)
    kernel_map, out_sites = (submanifold_map(keys), sites) if size == 3 else downsample_map(keys)
    if size == 2:
        out_sites = coordinates_from_keys(out_sites)
    x, grad = normal(rng, len(sites), channels[0]), normal(rng, kernel_map.n_out, channels[1])
    weight = normal(rng, channels[1], size**3, channels[0]).transpose(1, 2, 0)

    x64, weight64 = (torch.from_numpy(array.astype(np.float64)).requires_grad_() for array in (x, weight))
    dense = references.dense_convolution(x64, sites, weight64, size, stride, padding, shape, 2)
    b, i, j, k = torch.from_numpy(out_sites).unbind(1)
    reference = dense[b, :, i, j, k]
    reference.backward(torch.from_numpy(grad.astype(np.float64)))

    references.assert_close(convolution(x, pack(weight), kernel_map), reference.detach().numpy(), 100)
    backward = convolution(grad, pack(weight.swapaxes(1, 2)), kernel_map.transposed())
    references.assert_close(backward, x64.grad.numpy(), 200)
    references.assert_close(weight_gradient(x, grad, kernel_map), weight64.grad.numpy(), 100)


@pytest.mark.parametrize(("in_channels", "out_channels"), [(16, 32), (40, 130)])
def test_results_are_the_same_for_any_number_of_threads(in_channels, out_channels):
    rng = np.random.default_rng(7)
    kernel_map = some_map(rng, "submanifold", 3, 2000, 25)
    x, grad = normal(rng, kernel_map.n_in, in_channels), normal(rng, kernel_map.n_out, out_channels)
    weight = normal(rng, 27, in_channels, out_channels)
    results = [
        (
            convolution(x, pack(weight, calls=DirectCalls(threads)), kernel_map, DirectCalls(threads)),
            weight_gradient(x, grad, kernel_map, threads),
        )
        for threads in (1, 2, 4)
    ]
    for out, gradient in results[1:]:
        assert np.array_equal(out, results[0][0])
        assert np.array_equal(gradient, results[0][1])


def test_weights_of_any_memory_layout_pack_alike():
    rng = np.random.default_rng(8)
    weight = normal(rng, 27, 20, 37)
    layouts = [weight, weight.transpose(2, 0, 1).copy().transpose(1, 2, 0), weight.swapaxes(1, 2).copy().swapaxes(1, 2)]
    packed = [pack(layout).values for layout in layouts]
    assert all(np.array_equal(values, packed[0]) for values in packed[1:])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.33, 1.5]))
def test_the_epilogue_adds_normalises_and_activates(seed, channels, with_bias, with_residual, slope):
    rng = np.random.default_rng(seed)
    kernel_map = some_map(rng, "submanifold", 1, 50, 4)
    x, weight = normal(rng, kernel_map.n_in, 6), normal(rng, 27, 6, channels)
    residual, (bias, scale, shift) = normal(rng, kernel_map.n_out, channels), normal(rng, 3, channels)
    activation = Activation(scale, shift, slope)
    epilogue = Epilogue(bias if with_bias else None, residual if with_residual else None, activation)
    raw, active = np.empty_like(residual), np.empty_like(residual)
    source = Source(x, pack(weight))
    convolve([source], kernel_map, raw, active, epilogue=epilogue, calls=DirectCalls(2))
    only = np.empty_like(residual)
    convolve([source], kernel_map, None, only, epilogue=epilogue)

    expected = references.forward(x, weight, kernel_map) + with_bias * bias + with_residual * residual
    references.assert_close(raw, expected, 200)
    normalised = expected * scale + shift
    references.assert_close(active, np.where(normalised > 0, normalised, slope * normalised), 1000)
    assert np.array_equal(active, only)


@pytest.mark.parametrize("threads", [1, 2])
def test_sources_side_by_side_are_one_wide_source(threads):
    rng = np.random.default_rng(9)
    kernel_map = some_map(rng, "strided", 2, 200, 9)
    x, weight = normal(rng, kernel_map.n_in, 50), normal(rng, 8, 50, 70)
    sources = [
        Source(np.ascontiguousarray(x[:, part]), pack(weight[:, part])) for part in (slice(0, 17), slice(17, 50))
    ]
    out = np.empty((kernel_map.n_out, 70), np.float32)
    convolve(sources, kernel_map, out, calls=DirectCalls(threads))
    assert np.array_equal(out, convolution(x, pack(weight), kernel_map))


def test_weights_of_one_convolution_have_the_same_column_groups():
    rng = np.random.default_rng(8)
    kernel_map = some_map(rng, "submanifold", 1, 300, 9)
    x, weight = normal(rng, kernel_map.n_in, 420), normal(rng, 27, 420, 96)
    parts = [(np.ascontiguousarray(x[:, part]), weight[:, part]) for part in (slice(0, 20), slice(20, 420))]
    out = np.empty((kernel_map.n_out, 96), np.float32)
    for beside in (20, 400, 1 << 20):
        convolve([Source(features, pack(part, beside=beside)) for features, part in parts], kernel_map, out)
        assert np.array_equal(out, convolution(x, pack(weight), kernel_map))
    sources = [Source(parts[0][0], pack(parts[0][1])), Source(parts[1][0], pack(parts[1][1], beside=1 << 20))]
    with pytest.raises(ValueError, match="column groups"):
        convolve(sources, kernel_map, out)


@pytest.mark.parametrize("threads", [1, 2])
def test_shortcuts_are_products_on_the_output_rows(threads):
    rng = np.random.default_rng(10)
    kernel_map = some_map(rng, "inverse", 2, 300, 9)
    x, weight = normal(rng, kernel_map.n_in, 8), normal(rng, 8, 8, 40)
    shortcuts = [(normal(rng, kernel_map.n_out, c), normal(rng, 1, c, 40)) for c in (5, 33)]
    out = np.empty((kernel_map.n_out, 40), np.float32)
    packed = [Source(features, pack(matrix)) for features, matrix in shortcuts]
    convolve([Source(x, pack(weight))], kernel_map, out, shortcuts=packed, calls=DirectCalls(threads))
    expected = references.forward(x, weight, kernel_map)
    expected += sum(features.astype(np.float64) @ matrix[0] for features, matrix in shortcuts)
    references.assert_close(out, expected, 200)


def test_arrays_that_do_not_match_are_refused():
    rng = np.random.default_rng(11)
    kernel_map = some_map(rng, "submanifold", 1, 20, 4)
    x, panels, rows = normal(rng, kernel_map.n_in, 8), pack(normal(rng, 27, 8, 16)), kernel_map.n_in
    wrong = [x[1:], x[:, :7].copy(), x.astype(np.float64), np.asfortranarray(x)]
    for features in wrong:
        with pytest.raises(ValueError, match="features"):
            convolution(features, panels, kernel_map)
    elsewhere = torch.empty(x.shape, device="meta")
    for features in (torch.from_numpy(x).double(), torch.from_numpy(x).T.contiguous().T, elsewhere):
        with pytest.raises(ValueError, match="features must be float32, C-contiguous and on the CPU"):
            convolve([Source(features, panels)], kernel_map, torch.empty(rows, 16))
    with pytest.raises(ValueError, match="offsets"):
        convolution(x, pack(normal(rng, 8, 8, 16)), kernel_map)
    with pytest.raises(ValueError, match="raw must have the shape"):
        convolve([Source(x, panels)], kernel_map, np.empty((rows, 15), np.float32))
    with pytest.raises(ValueError, match="residual"):
        convolve(
            [Source(x, panels)], kernel_map, None, epilogue=Epilogue(residual=np.empty((rows + 1, 16), np.float32))
        )


@pytest.mark.parametrize(("in_channels", "out_channels"), [(16, 32), (48, 80), (7, 16), (16, 7), (200, 144)])
@pytest.mark.parametrize("threads", [1, 2])
def test_panels_in_the_memory_of_the_weight_are_as_good_as_packed_ones(in_channels, out_channels, threads):
    rng = np.random.default_rng(0)
    kernel_map = some_map(rng, "submanifold", 2, 90, 6)
    x = normal(rng, kernel_map.n_in, in_channels)
    weight = normal(rng, in_channels, 27, out_channels).swapaxes(0, 1)
    packed, lent = pack(weight), pack(weight, keep=False)
    assert (lent.values.data_ptr() == weight.ctypes.data) == (out_channels % UNIT.lanes == 0)
    expected = convolution(x, packed, kernel_map, DirectCalls(threads))
    assert np.array_equal(convolution(x, lent, kernel_map, DirectCalls(threads)), expected)
