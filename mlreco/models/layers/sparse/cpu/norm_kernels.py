"""Kernels of batch normalisation and LeakyReLU that threads run together, a chunk of rows at a time.

g is the gradient of the normalised x, that is, before LeakyReLU.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from mlreco.models.layers.sparse.cpu.column_moments import MOMENTS, write_moments
from mlreco.models.layers.sparse.cpu.jit import SharedKernel, kernel
from mlreco.models.layers.sparse.cpu.memory import bits, job
from mlreco.models.layers.sparse.cpu.shared_memory import bits_of, claim, floats_at, memory_at
from mlreco.models.layers.sparse.cpu.strips import gradient_strip, strip_columns

CHUNK = 256
"""Rows of a chunk."""
ADDRESSES = ("x", "grad", "beside", "scale", "shift", "mean", "factor", "offset", "sums", "out")
JOB = np.dtype([(name, np.int64) for name in ("counter", "rows", "columns", *ADDRESSES)] + [("slope", np.float64)])


@kernel
def _claim_rows(job_address: int, call: np.void) -> tuple[int, int, int]:
    """Return the next chunk, its first row and the row after its last; none is left where these are equal."""
    chunk = claim(job_address)
    return chunk, min(call.rows, chunk * CHUNK), min(call.rows, (chunk + 1) * CHUNK)


def _moments_of_chunks(job_address: int, _: int) -> None:
    """Write the moments of every chunk and column to ``sums`` (chunks, MOMENTS, columns)."""
    call = carray(memory_at(job_address), 1, JOB)[0]
    columns = call.columns
    while True:
        chunk, row_0, row_1 = _claim_rows(job_address, call)
        if row_0 == row_1:
            return
        place = call.sums + 4 * MOMENTS * chunk * columns
        write_moments(call.x + 4 * row_0 * columns, row_1 - row_0, columns, columns, place, columns)


def _activate(job_address: int, _: int) -> None:
    call = carray(memory_at(job_address), 1, JOB)[0]
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


@kernel
def _sum_columns(call: np.void, row_0: int, rows: int, total: int, product: int) -> None:
    """Write the sums of g and g (x - mean) of all columns of a few rows, g the gradient before LeakyReLU."""
    columns, first, place = call.columns, 0, 4 * row_0 * call.columns
    slope_bits = bits_of(call.slope)
    strip = strip_columns(columns)
    while strip:
        skip = 4 * first
        places = (
            *(strip, call.x + place + skip, call.grad + place + skip, 4 * columns, rows),
            *(call.scale + skip, call.shift + skip, call.mean + skip, slope_bits, total + skip, product + skip),
        )
        gradient_strip(places)
        first += strip
        strip = strip_columns(columns - first)
    x, grad, slope = floats_at(call.x + place), floats_at(call.grad + place), np.float32(call.slope)
    scale, shift, mean = floats_at(call.scale), floats_at(call.shift), floats_at(call.mean)
    for c in range(first, columns):
        totals, products = np.float32(0), np.float32(0)
        for row in range(rows):
            value = x[row * columns + c] * scale[c] + shift[c]
            inner = grad[row * columns + c] * (np.float32(1) if value > np.float32(0) else slope)
            totals += inner
            products += inner * (x[row * columns + c] - mean[c])
        floats_at(total)[c], floats_at(product)[c] = totals, products


def _sum_gradients(job_address: int, _: int) -> None:
    """Write the sums of every chunk to ``sums`` (chunks, 2, columns)."""
    call = carray(memory_at(job_address), 1, JOB)[0]
    while True:
        chunk, row_0, row_1 = _claim_rows(job_address, call)
        if row_0 == row_1:
            return
        total = call.sums + 8 * chunk * call.columns
        _sum_columns(call, row_0, row_1 - row_0, total, total + 4 * call.columns)


def _input_gradient_rows(job_address: int, _: int) -> None:
    """Write g * scale + (x - mean) * factor + offset, g the gradient before LeakyReLU, plus what comes beside."""
    call = carray(memory_at(job_address), 1, JOB)[0]
    columns, slope, zero, one = call.columns, np.float32(call.slope), np.float32(0), np.float32(1)
    scale, shift, mean = floats_at(call.scale), floats_at(call.shift), floats_at(call.mean)
    factor, offset = floats_at(call.factor), floats_at(call.offset)
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
                out[c] = inner * scale[c] + (x[c] - mean[c]) * factor[c] + offset[c]
            if call.beside:
                beside = floats_at(call.beside + place)
                for c in range(columns):
                    out[c] += beside[c]


chunk_moments, activate_rows = SharedKernel(_moments_of_chunks), SharedKernel(_activate)
chunk_gradients, input_gradient = SharedKernel(_sum_gradients), SharedKernel(_input_gradient_rows)


def norm_job(shape: tuple[int, int], slope: float, **places: int) -> np.ndarray:
    """Return the job of the kernels for all rows; ``places`` are those of ``ADDRESSES`` that they read and write."""
    return job(0, *shape, *(places.get(name, 0) for name in ADDRESSES), bits(slope))
