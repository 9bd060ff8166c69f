"""Batch normalisation in training followed by LeakyReLU, and its gradient, in two passes over the rows each.

Batch normalisation: Ioffe and Szegedy, arXiv:1502.03167. Sums are taken over chunks of rows and added up in their order
in float64, so they do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from mlreco.models.layers.sparse.cpu.calls import AT_ONCE, Calls
from mlreco.models.layers.sparse.cpu.column_moments import Moments, chunk_sums, combined
from mlreco.models.layers.sparse.cpu.epilogue import Activation
from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.memory import Array
from mlreco.models.layers.sparse.cpu.norm_kernels import (
    CHUNK,
    activate_rows,
    chunk_gradients,
    chunk_moments,
    input_gradient,
    run,
)


def moments(x: Array, threads: int = 1) -> Moments:
    """Return mean and variance of the columns of x, (N, C) float32, C-contiguous, N at least 1."""
    sums = chunk_sums(*x.shape, CHUNK)
    run(chunk_moments, threads, x.shape, x=x, sums=sums)
    return combined(sums, len(x), CHUNK)


def activate(x: Array, activation: Activation, out: Array, threads: int = 1, calls: Calls = AT_ONCE) -> None:
    """Write the activation of x to ``out``.

    Args:
        x: (N, C) float32, C-contiguous.
        activation: leaky_relu(x * scale + shift, slope).
        out: (N, C) float32, C-contiguous; may be x.
        threads: how many threads work at most.
        calls: makes the call.
    """
    arrays = {"scale": activation.scale, "shift": activation.shift, "x": x, "out": out}
    run(activate_rows, threads, x.shape, activation.slope, calls, **arrays)


def affine(moments: Moments, weight: np.ndarray, bias: np.ndarray, eps: float, slope: float) -> Activation:
    """Return the activation in which x * scale + shift is the normalised x, times weight (C,), plus bias (C,)."""
    scale, shift = np.empty((2, len(weight)), np.float32)
    _affine(moments.mean, moments.variance, weight, bias, eps, scale, shift)
    return Activation(scale, shift, slope)


@kernel
def _affine(
    mean: np.ndarray,
    variance: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    eps: float,
    scale: np.ndarray,
    shift: np.ndarray,
) -> None:
    for c in range(len(weight)):
        factor = weight[c] / np.sqrt(variance[c] + eps)
        scale[c], shift[c] = factor, bias[c] - mean[c] * factor


@kernel
def _track(
    mean: np.ndarray,
    variance: np.ndarray,
    rows: int,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    momentum: float,
) -> None:
    for c in range(len(mean)):
        running_mean[c] += momentum * (mean[c] - running_mean[c])
        running_var[c] += momentum * (variance[c] * rows / (rows - 1) - running_var[c])


def track(moments: Moments, rows: int, running_mean: np.ndarray, running_var: np.ndarray, momentum: float) -> None:
    """Move running statistics towards moments of so many rows, at least 2.

    Args:
        moments: mean and biased variance; the running variance is that of an unbiased estimate.
        rows: how many rows they are of.
        running_mean: (C,) float32, changed.
        running_var: (C,) float32, changed.
        momentum: share of the new in the running statistics.
    """
    _track(moments.mean, moments.variance, rows, running_mean, running_var, momentum)


@kernel
def _add_sums(
    sums: np.ndarray,
    rows: int,
    mean: np.ndarray,
    variance: np.ndarray,
    eps: float,
    scale: np.ndarray,
    middle: np.ndarray,
    of_input: np.ndarray,
    of_parameters: np.ndarray,
) -> None:
    """Add up the sums of g and g (x - middle) of all chunks, middle the mean as float32, g as everywhere here.

    ``of_input`` (2, C): factor and offset with which g * scale + (x - middle) * factor + offset is the gradient of x;
    without the middle, large terms would cancel where a column varies little about a large mean;
    ``of_parameters`` (2, C): the gradients of weight and bias.
    """
    for c in range(len(mean)):
        total = product = 0.0
        for chunk in range(len(sums)):
            total += sums[chunk, 0, c]
            product += sums[chunk, 1, c]
        product += total * (middle[c] - mean[c])
        inverse = 1 / (variance[c] + eps)
        factor = -scale[c] * inverse * product / rows
        of_input[0, c], of_input[1, c] = factor, -scale[c] * total / rows - factor * (mean[c] - middle[c])
        of_parameters[0, c], of_parameters[1, c] = product * np.sqrt(inverse), total


def gradients(
    x: Array,
    grad: Array,
    moments: Moments,
    weight: np.ndarray,
    bias: np.ndarray,
    eps: float,
    slope: float,
    out: Array,
    threads: int = 1,
    beside: Array | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Write the gradient of x to ``out`` and return those of weight and bias, (C,) float32.

    Args:
        x: (N, C) float32, what was normalised, C-contiguous.
        grad: (N, C) float32 gradient of leaky_relu(normalised x * weight + bias), C-contiguous.
        moments: of the columns of x.
        weight: (C,) float32 factor after normalisation.
        bias: (C,) float32 offset after normalisation.
        eps: added to the variance.
        slope: of LeakyReLU.
        out: (N, C) float32, C-contiguous; may be grad.
        threads: how many threads work at most.
        beside: (N, C) float32, C-contiguous, added to the gradient of x.
    """
    activation = affine(moments, weight, bias, eps, slope)
    sums, middle = chunk_sums(*x.shape, CHUNK, 2), moments.mean.astype(np.float32)
    arrays = {"x": x, "grad": grad, "scale": activation.scale, "shift": activation.shift, "mean": middle}
    run(chunk_gradients, threads, x.shape, slope, **arrays, sums=sums)
    of_input, of_parameters = np.empty((2, 2, x.shape[1]), np.float32)
    statistics = len(x), moments.mean, moments.variance, eps
    _add_sums(sums, *statistics, activation.scale, middle, of_input, of_parameters)
    arrays |= {"factor": of_input[0], "offset": of_input[1], "out": out}
    if beside is not None:
        arrays["beside"] = beside
    run(input_gradient, threads, x.shape, slope, **arrays)
    return of_parameters[0], of_parameters[1]
