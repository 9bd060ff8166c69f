import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mlreco.sparse.cpu.ops import normalisation
from mlreco.sparse.cpu.ops.normalisation import Norm
from mlreco.sparse.cpu.threads.calls import DirectCalls
from mlreco.sparse.cpu.training.norm_function import batch_norm_leaky_relu

EPS = 1e-5


def problem(seed, rows, columns, offset=0.0):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, columns)) * rng.uniform(0.5, 3, columns) + offset).astype(np.float32)
    weight, bias = rng.normal(size=(2, columns)).astype(np.float32)
    return [torch.from_numpy(array) for array in (x, weight, bias, rng.normal(size=x.shape).astype(np.float32))]


def normalise(x):
    """Moments of the columns of x."""
    columns = x.shape[1]
    norm = Norm(np.ones(columns, np.float32), np.zeros(columns, np.float32), EPS, 0.33)
    return normalisation.normalise(x, norm, np.empty_like(x))


@example(seed=140, rows=2, columns=2, slope=1.0)  # columns that vary little about a large mean
@example(seed=6143, rows=2, columns=1, slope=0.0)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 700), st.integers(1, 40), st.sampled_from([0.0, 0.33, 1.0]))
def test_output_moments_and_gradients_are_those_of_torch_in_float64(seed, rows, columns, slope):
    x, weight, bias, grad = problem(seed, rows, columns)
    reference_inputs = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    normalised = functional.batch_norm(reference_inputs[0], None, None, *reference_inputs[1:], True, 0.1, EPS)
    away_from_the_kink = normalised.detach().abs().min() > 1e-5
    reference = functional.leaky_relu(normalised, slope)
    reference.backward(grad.double())

    inputs = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
    out, moments = batch_norm_leaky_relu(*inputs, EPS, slope)
    out.backward(grad)
    np.testing.assert_allclose(moments.mean, x.double().mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moments.variance, x.double().var(0, unbiased=False), rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(out.double(), reference, rtol=1e-4, atol=1e-4)
    if away_from_the_kink:
        for ours, theirs in zip(inputs, reference_inputs, strict=True):
            scale = theirs.grad.abs().max().clamp(min=1)
            torch.testing.assert_close(ours.grad.double() / scale, theirs.grad / scale, rtol=0, atol=1e-4)


def test_a_large_mean_leaves_the_variance_precise():
    x, *_ = problem(1, 5000, 16, offset=1000.0)
    moments = normalise(x.numpy())
    expected = x.double().var(0, unbiased=False).numpy()
    np.testing.assert_allclose(moments.variance, expected, rtol=1e-3)


@pytest.mark.parametrize("rows", [1, 256, 257])
def test_a_constant_column_is_normalised_to_the_bias(rows):
    x = torch.full((rows, 3), 7.0)
    out, moments = batch_norm_leaky_relu(x, torch.ones(3), torch.tensor([1.0, 2.0, -1.0]), 1.0, 0.5)
    torch.testing.assert_close(out, torch.tensor([1.0, 2.0, -0.5]).expand(rows, 3))
    assert not moments.variance.any()


def test_results_are_the_same_for_any_number_of_threads():
    x, weight, bias, grad = (tensor.numpy() for tensor in problem(2, 9000, 24))
    results = []
    for threads in (1, 2, 4):
        norm, activated, out = Norm(weight, bias, EPS, 0.33), np.empty_like(x), np.empty_like(x)
        moments = normalisation.normalise(x, norm, activated, calls=DirectCalls(threads))
        sums = normalisation.gradients(x, grad, moments, norm, out, calls=DirectCalls(threads))
        results.append((moments.values, out, sums.numpy(), activated))
    for others in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(others, results[0], strict=True))


@pytest.mark.parametrize("channels", [1, 16, 37, 80])
def test_equal_gradients_of_constant_columns_cancel(channels):
    rng = np.random.default_rng(channels)
    x = np.broadcast_to(rng.normal(size=channels).astype(np.float32), (300, channels)).copy()
    weight, bias, grad = np.ones(channels, np.float32), np.zeros(channels, np.float32), np.ones_like(x)
    out = np.empty_like(x)
    normalisation.gradients(x, grad, normalise(x), Norm(weight, bias, EPS, 0.33), out)
    largest_scale, rounding_of_the_mean = 1 / np.sqrt(EPS), 1e-5
    assert abs(out).max() < rounding_of_the_mean * largest_scale


def test_other_types_are_refused():
    x = np.ones((4, 3))
    with pytest.raises(ValueError, match="float64"):
        normalise(x)


@pytest.mark.parametrize("wrong", ["weight", "running mean"])
def test_numbers_for_other_columns_are_refused_before_anything_is_written(wrong):
    x, weight, bias, _ = problem(3, 40, 6)
    running = normalisation.Running(torch.zeros(4 if wrong == "running mean" else 6), torch.ones(6), 0.1)
    norm = Norm(weight[:5].contiguous() if wrong == "weight" else weight, bias, EPS, 0.33)
    with pytest.raises(ValueError, match=r"(weight|running_mean) must have the shape \(6,\)"):
        normalisation.normalise(x, norm, torch.empty_like(x), running=running)
    assert not running.mean.any() and (running.variance == 1).all()


def test_running_statistics_are_those_of_torch():
    x, weight, bias, _ = problem(4, 700, 9)
    running = normalisation.Running(torch.randn(9), torch.rand(9), 0.25)
    mean, variance = running.mean.clone(), running.variance.clone()
    normalisation.normalise(x, Norm(weight, bias, EPS, 0.33), torch.empty_like(x), running=running)
    functional.batch_norm(x, mean, variance, weight, bias, True, 0.25, EPS)
    torch.testing.assert_close(running.mean, mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(running.variance, variance, rtol=1e-5, atol=1e-6)
