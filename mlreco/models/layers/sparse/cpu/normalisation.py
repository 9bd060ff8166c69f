"""Batch normalisation in training followed by LeakyReLU, and its gradient, in two passes over the rows each.

Batch normalisation: Ioffe and Szegedy, arXiv:1502.03167. Moments and sums are taken over chunks of rows and combined
in the order of chunks in float64 (Chan, Golub and LeVeque, 1983), so they do not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import carray

from mlreco.models.layers.sparse.cpu.crew import crew_for, share
from mlreco.models.layers.sparse.cpu.epilogue import Activation, write_moments
from mlreco.models.layers.sparse.cpu.jit import SharedKernel, kernel
from mlreco.models.layers.sparse.cpu.memory import address, bits, job
from mlreco.models.layers.sparse.cpu.shared_memory import claim, floats_at, memory_at

_CHUNK = 256


@dataclass(frozen=True)
class Moments:
    """Mean and biased variance of every column, (C,) float64."""

    mean: np.ndarray
    variance: np.ndarray


_ADDRESSES = ("x", "grad", "beside", "scale", "shift", "mean", "factor", "offset", "sums", "out")
_JOB = np.dtype([(name, np.int64) for name in ("counter", "rows", "columns", *_ADDRESSES)] + [("slope", np.float64)])


@kernel
def _claim_rows(job_address: int, call: np.void) -> tuple[int, int, int]:
    """Return the next chunk, its first row and the row after its last; none is left where these are equal."""
    chunk = claim(job_address)
    return chunk, min(call.rows, chunk * _CHUNK), min(call.rows, (chunk + 1) * _CHUNK)


def _moments_of_chunks(job_address: int, _: int) -> None:
    """Write mean and sum of squared deviations of every chunk and column to ``sums`` (chunks, 2, columns)."""
    call = carray(memory_at(job_address), 1, _JOB)[0]
    columns = call.columns
    while True:
        chunk, row_0, row_1 = _claim_rows(job_address, call)
        if row_0 == row_1:
            return
        place = call.sums + 8 * chunk * columns
        write_moments(call.x + 4 * row_0 * columns, row_1 - row_0, columns, columns, place, place + 4 * columns)


def _activate_rows(job_address: int, _: int) -> None:
    call = carray(memory_at(job_address), 1, _JOB)[0]
    columns, slope, zero = call.columns, np.float32(call.slope), np.float32(0)
    scale, shift = floats_at(call.scale), floats_at(call.shift)
    while True:
        _, row_0, row_1 = _claim_rows(job_address, call)
        if row_0 == row_1:
            return
        for row in range(row_0, row_1):
            x, out = floats_at(call.x + 4 * row * columns), floats_at(call.out + 4 * row * columns)
            for c in range(columns):
                value = x[c] * scale[c] + shift[c]
                out[c] = max(value, zero) + slope * min(value, zero)


def _sum_gradients(job_address: int, _: int) -> None:
    """Write to ``sums`` (chunks, 2, columns) the sums of g and g (x - mean), g the gradient before LeakyReLU."""
    call = carray(memory_at(job_address), 1, _JOB)[0]
    columns, slope, zero, one = call.columns, np.float32(call.slope), np.float32(0), np.float32(1)
    scale, shift, mean = floats_at(call.scale), floats_at(call.shift), floats_at(call.mean)
    while True:
        chunk, row_0, row_1 = _claim_rows(job_address, call)
        if row_0 == row_1:
            return
        total, product = (
            floats_at(call.sums + 8 * chunk * columns),
            floats_at(call.sums + 4 * (2 * chunk + 1) * columns),
        )
        for c in range(columns):
            total[c] = product[c] = zero
        for row in range(row_0, row_1):
            x, grad = floats_at(call.x + 4 * row * columns), floats_at(call.grad + 4 * row * columns)
            for c in range(columns):
                value = x[c] * scale[c] + shift[c]
                inner = grad[c] * (one if value > zero else slope)
                total[c] += inner
                product[c] += inner * (x[c] - mean[c])


def _input_gradient_rows(job_address: int, _: int) -> None:
    """Write g * scale + x * factor + offset, g the gradient before LeakyReLU, plus what comes beside."""
    call = carray(memory_at(job_address), 1, _JOB)[0]
    columns, slope, zero, one = call.columns, np.float32(call.slope), np.float32(0), np.float32(1)
    scale, shift, factor, offset = (
        *(floats_at(call.scale), floats_at(call.shift)),
        *(floats_at(call.factor), floats_at(call.offset)),
    )
    while True:
        _, row_0, row_1 = _claim_rows(job_address, call)
        if row_0 == row_1:
            return
        for row in range(row_0, row_1):
            place = 4 * row * columns
            x, grad, out = floats_at(call.x + place), floats_at(call.grad + place), floats_at(call.out + place)
            for c in range(columns):
                value = x[c] * scale[c] + shift[c]
                inner = grad[c] * (one if value > zero else slope)
                out[c] = inner * scale[c] + x[c] * factor[c] + offset[c]
            if call.beside:
                beside = floats_at(call.beside + place)
                for c in range(columns):
                    out[c] += beside[c]


_chunk_moments, _activate = SharedKernel(_moments_of_chunks), SharedKernel(_activate_rows)
_chunk_gradients, _input_gradient = SharedKernel(_sum_gradients), SharedKernel(_input_gradient_rows)


def _run(work: SharedKernel, threads: int, shape: tuple[int, int], slope: float = 0.0, **arrays: np.ndarray) -> None:
    """Run a kernel on all rows; ``arrays`` are what it reads and writes, by their names in the call."""
    rows, columns = shape
    places = (address(arrays[name]) if name in arrays else 0 for name in _ADDRESSES)
    share(work, job(0, rows, columns, *places, bits(slope)), crew_for(threads, numbers=rows * columns))


def _sums(x: np.ndarray) -> np.ndarray:
    return np.empty((-(-len(x) // _CHUNK), 2, x.shape[1]), np.float32)


@kernel
def _combine(sums: np.ndarray, rows: int, chunk: int, mean: np.ndarray, variance: np.ndarray) -> None:
    chunks, _, columns = sums.shape
    for c in range(columns):
        mean[c] = variance[c] = 0.0
    for number in range(chunks):
        count = min(chunk, rows - number * chunk)
        for c in range(columns):
            mean[c] += count * np.float64(sums[number, 0, c])
    for c in range(columns):
        mean[c] /= rows
    for number in range(chunks):
        count = min(chunk, rows - number * chunk)
        for c in range(columns):
            deviation = sums[number, 0, c] - mean[c]
            variance[c] += sums[number, 1, c] + count * deviation * deviation
    for c in range(columns):
        variance[c] /= rows


def combined(sums: np.ndarray, rows: int, chunk: int) -> Moments:
    """Return the moments of all rows from those of chunks.

    Args:
        sums: (chunks, 2, C) float32, mean and sum of squared deviations of every chunk.
        rows: how many there are in all.
        chunk: rows of a chunk; the last may have fewer.
    """
    mean, variance = np.empty((2, sums.shape[2]))
    _combine(sums, rows, chunk, mean, variance)
    return Moments(mean, variance)


def moments(x: np.ndarray, threads: int = 1) -> Moments:
    """Return mean and variance of the columns of x, (N, C) float32, C-contiguous, N at least 1."""
    sums = _sums(x)
    _run(_chunk_moments, threads, x.shape, x=x, sums=sums)
    return combined(sums, len(x), _CHUNK)


def activate(x: np.ndarray, activation: Activation, out: np.ndarray, threads: int = 1) -> None:
    """Write the activation of x to ``out``.

    Args:
        x: (N, C) float32, C-contiguous.
        activation: leaky_relu(x * scale + shift, slope).
        out: (N, C) float32, C-contiguous; may be x.
        threads: how many threads work at most.
    """
    arrays = {"scale": activation.scale, "shift": activation.shift}
    _run(_activate, threads, x.shape, activation.slope, x=x, out=out, **arrays)


def affine(moments: Moments, weight: np.ndarray, bias: np.ndarray, eps: float, slope: float) -> Activation:
    """Return the activation in which x * scale + shift is the normalised x, times weight (C,), plus bias (C,)."""
    scale = weight / np.sqrt(moments.variance + eps)
    return Activation(scale.astype(np.float32), (bias - moments.mean * scale).astype(np.float32), slope)


def gradients(
    x: np.ndarray,
    grad: np.ndarray,
    moments: Moments,
    weight: np.ndarray,
    bias: np.ndarray,
    eps: float,
    slope: float,
    out: np.ndarray,
    threads: int = 1,
    beside: np.ndarray | None = None,
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
    rows = len(x)
    activation = affine(moments, weight, bias, eps, slope)
    scale, shift = activation.scale, activation.shift
    sums, mean = _sums(x), moments.mean.astype(np.float32)
    arrays = {"x": x, "grad": grad, "scale": scale, "shift": shift}
    _run(_chunk_gradients, threads, x.shape, slope, **arrays, mean=mean, sums=sums)
    total, product = sums.astype(np.float64).sum(axis=0)
    product += total * (mean - moments.mean)
    inverse = 1 / (moments.variance + eps)
    factor = -scale * inverse * product / rows
    offset = -scale * total / rows - factor * moments.mean
    arrays |= {"factor": factor.astype(np.float32), "offset": offset.astype(np.float32), "out": out}
    if beside is not None:
        arrays["beside"] = beside
    _run(_input_gradient, threads, x.shape, slope, **arrays)
    return (product * np.sqrt(inverse)).astype(np.float32), total.astype(np.float32)
