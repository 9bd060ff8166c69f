"""Batch normalisation in training followed by LeakyReLU, and its gradient, in two passes over the rows each.

Batch normalisation: Ioffe and Szegedy, arXiv:1502.03167. Moments and sums are taken over chunks of rows and combined
in the order of chunks in float64 (Chan, Golub and LeVeque, 1983), so they do not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.models.layers.sparse.cpu.crew import crew_for, share
from mlreco.models.layers.sparse.cpu.jit import kernel
from mlreco.models.layers.sparse.cpu.vector_code import claim

_CHUNK = 256


@dataclass(frozen=True)
class Moments:
    """Mean and biased variance of every column, (C,) float64."""

    mean: np.ndarray
    variance: np.ndarray


@kernel
def _chunk_moments(x: np.ndarray, rows: int, columns: int, sums: np.ndarray, counter: np.ndarray) -> None:
    """Write mean and sum of squared deviations of every chunk and column to ``sums`` (chunks, 2, columns), flat."""
    width = np.uint64(columns)
    while True:
        chunk = claim(counter.ctypes.data)
        row_0, row_1 = chunk * _CHUNK, min(rows, (chunk + 1) * _CHUNK)
        if row_0 >= rows:
            return
        mean, squares = np.uint64(2 * chunk * columns), np.uint64((2 * chunk + 1) * columns)
        share_of_row = np.float32(1) / np.float32(row_1 - row_0)
        for c in range(width):
            sums[mean + c] = np.float32(0)
            sums[squares + c] = np.float32(0)
        for row in range(row_0, row_1):
            start = np.uint64(row * columns)
            for c in range(width):
                sums[mean + c] += x[start + c]
        for c in range(width):
            sums[mean + c] *= share_of_row
        for row in range(row_0, row_1):
            start = np.uint64(row * columns)
            for c in range(width):
                deviation = x[start + c] - sums[mean + c]
                sums[squares + c] += deviation * deviation


@kernel
def _activate(
    x: np.ndarray,
    rows: int,
    columns: int,
    scale: np.ndarray,
    shift: np.ndarray,
    slope: float,
    out: np.ndarray,
    counter: np.ndarray,
) -> None:
    width, zero = np.uint64(columns), np.float32(0)
    while True:
        chunk = claim(counter.ctypes.data)
        if chunk * _CHUNK >= rows:
            return
        for row in range(chunk * _CHUNK, min(rows, (chunk + 1) * _CHUNK)):
            start = np.uint64(row * columns)
            for c in range(width):
                value = x[start + c] * scale[c] + shift[c]
                out[start + c] = max(value, zero) + slope * min(value, zero)


@kernel
def _chunk_gradients(
    x: np.ndarray,
    grad: np.ndarray,
    rows: int,
    columns: int,
    scale: np.ndarray,
    shift: np.ndarray,
    slope: float,
    mean: np.ndarray,
    sums: np.ndarray,
    counter: np.ndarray,
) -> None:
    """Write to ``sums`` (chunks, 2, columns), flat, the sums of g and g (x - mean), g the gradient before LeakyReLU."""
    width, zero, one = np.uint64(columns), np.float32(0), np.float32(1)
    while True:
        chunk = claim(counter.ctypes.data)
        if chunk * _CHUNK >= rows:
            return
        total, product = np.uint64(2 * chunk * columns), np.uint64((2 * chunk + 1) * columns)
        for c in range(width):
            sums[total + c] = zero
            sums[product + c] = zero
        for row in range(chunk * _CHUNK, min(rows, (chunk + 1) * _CHUNK)):
            start = np.uint64(row * columns)
            for c in range(width):
                value = x[start + c] * scale[c] + shift[c]
                inner = grad[start + c] * (one if value > zero else slope)
                sums[total + c] += inner
                sums[product + c] += inner * (x[start + c] - mean[c])


@kernel
def _input_gradient(
    x: np.ndarray,
    grad: np.ndarray,
    rows: int,
    columns: int,
    scale: np.ndarray,
    shift: np.ndarray,
    slope: float,
    factor: np.ndarray,
    offset: np.ndarray,
    out: np.ndarray,
    counter: np.ndarray,
) -> None:
    """Write g * scale + x * factor + offset, g the gradient before LeakyReLU."""
    width, zero, one = np.uint64(columns), np.float32(0), np.float32(1)
    while True:
        chunk = claim(counter.ctypes.data)
        if chunk * _CHUNK >= rows:
            return
        for row in range(chunk * _CHUNK, min(rows, (chunk + 1) * _CHUNK)):
            start = np.uint64(row * columns)
            for c in range(width):
                value = x[start + c] * scale[c] + shift[c]
                inner = grad[start + c] * (one if value > zero else slope)
                out[start + c] = inner * scale[c] + x[start + c] * factor[c] + offset[c]


def _counter() -> np.ndarray:
    return np.zeros(1, np.int64)


def _sums(x: np.ndarray) -> np.ndarray:
    return np.empty((-(-len(x) // _CHUNK), 2, x.shape[1]), np.float32)


def moments(x: np.ndarray, threads: int = 1) -> Moments:
    """Return mean and variance of the columns of x, (N, C) float32, C-contiguous, N at least 1."""
    rows, columns = x.shape
    sums = _sums(x)
    arguments = (x.reshape(-1), rows, columns, sums.reshape(-1), _counter())
    share(lambda: _chunk_moments(*arguments), crew_for(threads, numbers=x.size))
    counts = np.minimum(rows - _CHUNK * np.arange(len(sums)), _CHUNK)[:, None]
    means, squares = sums[:, 0].astype(np.float64), sums[:, 1].astype(np.float64)
    mean = (counts * means).sum(axis=0) / rows
    return Moments(mean, (squares + counts * (means - mean) ** 2).sum(axis=0) / rows)


def activate(
    x: np.ndarray, scale: np.ndarray, shift: np.ndarray, slope: float, out: np.ndarray, threads: int = 1
) -> None:
    """Write leaky_relu(x * scale + shift, slope) to ``out``.

    Args:
        x: (N, C) float32, C-contiguous.
        scale: (C,) float32.
        shift: (C,) float32.
        slope: of negative numbers.
        out: (N, C) float32, C-contiguous; may be x.
        threads: how many threads work at most.
    """
    arguments = (x.reshape(-1), *x.shape, scale, shift, np.float32(slope), out.reshape(-1), _counter())
    share(lambda: _activate(*arguments), crew_for(threads, numbers=x.size))


def affine(moments: Moments, weight: np.ndarray, bias: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and shift, (C,) float32, with which x * scale + shift is the normalised x."""
    scale = weight / np.sqrt(moments.variance + eps)
    return scale.astype(np.float32), (bias - moments.mean * scale).astype(np.float32)


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
        out: (N, C) float32, C-contiguous.
        threads: how many threads work at most.
    """
    rows = len(x)
    scale, shift = affine(moments, weight, bias, eps)
    sums, mean = _sums(x), moments.mean.astype(np.float32)
    flat = (x.reshape(-1), grad.reshape(-1), *x.shape, scale, shift, np.float32(slope))
    counters = _counter(), _counter()
    share(lambda: _chunk_gradients(*flat, mean, sums.reshape(-1), counters[0]), crew_for(threads, numbers=x.size))
    total, product = sums.astype(np.float64).sum(axis=0)
    product += total * (mean - moments.mean)
    inverse = 1 / (moments.variance + eps)
    factor = -scale * inverse * product / rows
    offset = -scale * total / rows - factor * moments.mean
    last = (factor.astype(np.float32), offset.astype(np.float32), out.reshape(-1))
    share(lambda: _input_gradient(*flat, *last, counters[1]), crew_for(threads, numbers=x.size))
    return (product * np.sqrt(inverse)).astype(np.float32), total.astype(np.float32)
