"""Batch normalisation in training followed by LeakyReLU, and its gradient, in two passes over the rows each.

Batch normalisation: Ioffe and Szegedy, arXiv:1502.03167. Sums are taken over chunks of rows and added up in their order
in float64, so they do not depend on the number of threads. What lies between two passes is small, so both are made by
one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numba import carray

from mlreco.models.layers.sparse.cpu.calls import AT_ONCE, Calls
from mlreco.models.layers.sparse.cpu.column_moments import MOMENTS, Moments, chunk_sums, combine
from mlreco.models.layers.sparse.cpu.crew import crew_for, crew_places, work_together
from mlreco.models.layers.sparse.cpu.epilogue import Activation
from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.memory import Array, address, address_of_floats, scratch
from mlreco.models.layers.sparse.cpu.norm_kernels import (
    CHUNK,
    JOB,
    activate_rows,
    chunk_gradients,
    chunk_moments,
    input_gradient,
    norm_job,
)
from mlreco.models.layers.sparse.cpu.shared_memory import floats_at, memory_at


@dataclass(frozen=True)
class Norm:
    """Batch normalisation and leaky ReLU: leaky_relu(normalised x * weight + bias, slope).

    Attributes:
        weight: (C,) float32, C-contiguous.
        bias: the same.
        eps: added to the variance.
        slope: of the leaky ReLU on negative numbers.
    """

    weight: Array
    bias: Array
    eps: float
    slope: float


def activate(x: Array, activation: Activation, out: Array, threads: int = 1, calls: Calls = AT_ONCE) -> None:
    """Write the activation of x to ``out``.

    Args:
        x: (N, C) float32, C-contiguous.
        activation: leaky_relu(x * scale + shift, slope).
        out: (N, C) float32, C-contiguous; may be x.
        threads: how many threads work at most.
        calls: makes the call.
    """
    scale, shift, _ = activation.numbers
    places = {"x": address_of_floats(x), "scale": scale, "shift": shift, "out": address_of_floats(out)}
    job = norm_job(x.shape, activation.slope, **places)
    calls(activate_rows, job, crew_for(threads, numbers=x.shape[0] * x.shape[1]), x, activation, out)


@kernel
def _write_affine(call: np.void, moments: np.ndarray, weight_at: int, bias_at: int, eps: float) -> None:
    """Write scale and shift with which x * scale + shift is the normalised x, times weight, plus bias."""
    weight, bias = floats_at(weight_at), floats_at(bias_at)
    scale, shift = floats_at(call.scale), floats_at(call.shift)
    for c in range(call.columns):
        factor = weight[c] / np.sqrt(moments[1, c] + eps)
        scale[c], shift[c] = factor, bias[c] - moments[0, c] * factor


@kernel
def _normalise(
    job: int,
    find_moments: int,
    activate: int,
    chunk: int,
    moments_at: int,
    weight: int,
    bias: int,
    eps: float,
    board: int,
    desks: int,
    helpers: int,
) -> None:
    """Find the moments of the columns, unless ``find_moments`` is 0 and those of chunks are there, and activate."""
    call = carray(memory_at(job), 1, JOB)[0]
    if find_moments:
        work_together(find_moments, job, board, desks, helpers)
        call.counter = 0
    chunks = (call.rows + chunk - 1) // chunk
    moments = carray(memory_at(moments_at), (2, call.columns), np.float64)
    combine(carray(memory_at(call.sums), (chunks, MOMENTS, call.columns), np.float32), call.rows, chunk, moments)
    _write_affine(call, moments, weight, bias, eps)
    work_together(activate, job, board, desks, helpers)


def normalise(
    x: Array, norm: Norm, out: Array, threads: int = 1, sums: np.ndarray | None = None, chunk: int = CHUNK
) -> Moments:
    """Write the normalised and activated x to ``out`` and return the moments of its columns.

    Args:
        x: (N, C) float32, C-contiguous, N at least 1.
        norm: what is done.
        out: (N, C) float32, C-contiguous; may be x.
        threads: how many threads work at most.
        sums: the moments of chunks of rows, as ``write_moments`` writes them, where they are known.
        chunk: rows of a chunk.
    """
    rows, columns = x.shape
    known = sums is not None
    sums = sums if known else chunk_sums(rows, columns, chunk)
    moments = Moments(np.empty((2, columns)))
    numbers = address(scratch(2 * columns, "norm numbers"))
    places = {"x": address_of_floats(x), "out": address_of_floats(out), "sums": address(sums)}
    job = norm_job((rows, columns), norm.slope, scale=numbers, shift=numbers + 4 * columns, **places)
    _normalise(
        *(address(job), 0 if known else chunk_moments.address, activate_rows.address, chunk, moments.address),
        *(address_of_floats(norm.weight), address_of_floats(norm.bias), norm.eps),
        *crew_places(crew_for(threads, numbers=rows * columns)),
    )
    return moments


@kernel
def _track(moments: np.ndarray, rows: int, running_mean: np.ndarray, running_var: np.ndarray, momentum: float) -> None:
    mean, variance = moments
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
    _track(moments.values, rows, running_mean, running_var, momentum)


@kernel
def _add_sums(call: np.void, moments: np.ndarray, eps: float, of_parameters: int) -> None:
    """Add up the sums of g and g (x - middle) of all chunks, middle the mean as float32, g as in ``norm_kernels``.

    Written are factor and offset with which g * scale + (x - middle) * factor + offset is the gradient of x (without
    the middle, large terms would cancel where a column varies little about a large mean), and to ``of_parameters``
    (2, C) the gradients of weight and bias.
    """
    rows, columns, chunks = call.rows, call.columns, (call.rows + CHUNK - 1) // CHUNK
    sums = carray(memory_at(call.sums), (chunks, 2, columns), np.float32)
    scale, middle = floats_at(call.scale), floats_at(call.mean)
    factor, offset = floats_at(call.factor), floats_at(call.offset)
    of_weight, of_bias = floats_at(of_parameters), floats_at(of_parameters + 4 * columns)
    for c in range(columns):
        total = product = 0.0
        for chunk in range(chunks):
            total += sums[chunk, 0, c]
            product += sums[chunk, 1, c]
        product += total * (middle[c] - moments[0, c])
        inverse = 1 / (moments[1, c] + eps)
        slope = -scale[c] * inverse * product / rows
        factor[c], offset[c] = slope, -scale[c] * total / rows - slope * (moments[0, c] - middle[c])
        of_weight[c], of_bias[c] = product * np.sqrt(inverse), total


@kernel
def _gradients(
    job: int,
    sum_chunks: int,
    write_rows: int,
    moments_at: int,
    weight: int,
    bias: int,
    eps: float,
    of_parameters: int,
    board: int,
    desks: int,
    helpers: int,
) -> None:
    call = carray(memory_at(job), 1, JOB)[0]
    moments = carray(memory_at(moments_at), (2, call.columns), np.float64)
    _write_affine(call, moments, weight, bias, eps)
    middle = floats_at(call.mean)
    for c in range(call.columns):
        middle[c] = np.float32(moments[0, c])
    work_together(sum_chunks, job, board, desks, helpers)
    _add_sums(call, moments, eps, of_parameters)
    call.counter = 0
    work_together(write_rows, job, board, desks, helpers)


def gradients(
    x: Array, grad: Array, moments: Moments, norm: Norm, out: Array, threads: int = 1, beside: Array | None = None
) -> torch.Tensor:
    """Write the gradient of x to ``out`` and return those of weight and bias, (2, C) float32.

    Args:
        x: (N, C) float32, what was normalised, C-contiguous.
        grad: (N, C) float32 gradient of what ``normalise`` wrote, C-contiguous.
        moments: what it returned.
        norm: what it did.
        out: (N, C) float32, C-contiguous; may be grad.
        threads: how many threads work at most.
        beside: (N, C) float32, C-contiguous, added to the gradient of x.
    """
    rows, columns = x.shape
    of_parameters = torch.empty(2, columns)
    numbers, row = address(scratch(5 * columns, "norm numbers")), 4 * columns
    names = "scale", "shift", "mean", "factor", "offset"
    places = {name: numbers + number * row for number, name in enumerate(names)}
    places |= {"x": address_of_floats(x), "grad": address_of_floats(grad), "out": address_of_floats(out)}
    places["beside"] = 0 if beside is None else address_of_floats(beside)
    places["sums"] = address(chunk_sums(rows, columns, CHUNK))
    job = norm_job((rows, columns), norm.slope, **places)
    _gradients(
        *(address(job), chunk_gradients.address, input_gradient.address, moments.address),
        *(address_of_floats(norm.weight), address_of_floats(norm.bias), norm.eps, address_of_floats(of_parameters)),
        *crew_places(crew_for(threads, numbers=rows * columns)),
    )
    return of_parameters
