"""Kernels of batch normalisation followed by LeakyReLU, and of its gradient.

Threads claim chunks of rows. Below, g is the gradient with respect to the input of LeakyReLU: the gradient of the
output, times the slope where that input is not positive.
"""

from __future__ import annotations

import numpy as np

from mlreco.sparse.cpu.codegen.shared_memory import Record, array_at, bits_of, claim, floats_at, record_at
from mlreco.sparse.cpu.codegen.strips import gradient_strip, strip_columns
from mlreco.sparse.cpu.ops.column_moments import MOMENTS, combine, write_moments
from mlreco.sparse.cpu.threads.crew import OPERATIONS_A_NUMBER, work_together, worth
from mlreco.sparse.native.jit import SharedKernel, kernel
from mlreco.sparse.native.job import CODE, FLOAT, INT, OWN, Kind, Layout, Numbers

CHUNK = 256
"""Rows of a chunk."""
_MATRIX, _COLUMN = Numbers(np.float32, ("rows", "columns")), Numbers(np.float32, ("columns",))


def _rows(kind: Kind) -> dict[str, Kind]:
    """Return the fields with which all layouts here begin; ``kind`` is that of the fields ``scale`` and ``shift``."""
    head: dict[str, Kind] = {"counter": OWN, "rows": INT, "columns": INT, "x": _MATRIX, "out": _MATRIX}
    return {**head, "scale": kind, "shift": kind, "slope": FLOAT}


ACTIVATION = Layout(**_rows(_COLUMN))
"""An activation: out = leaky_relu(x * scale + shift, slope)."""
_PASSES: dict[str, Kind] = {
    "weight": _COLUMN,
    "bias": _COLUMN,
    "moments": Numbers(np.float64, (2, "columns")),
    "eps": FLOAT,
    "first": CODE,
    "second": CODE,
    "sums": Numbers(np.float32),
    "numbers": Numbers(np.float32),
    "board": INT,
    "crew": INT,
    "helpers": INT,
    "mean": OWN,
    "factor": OWN,
    "offset": OWN,
}
"""Two kernels, ``first`` and ``second``, that pass over all rows one after the other. ``sums`` is scratch memory for
what the first finds in each chunk of rows. ``scale``, ``shift``, ``mean``, ``factor`` and ``offset`` are addresses of
one number for each column, in the scratch memory ``numbers``."""
NORMALISATION = Layout(
    **_rows(OWN),
    **_PASSES,
    sums_are_known=INT,
    chunk=INT,
    running_mean=Numbers(np.float32, ("columns",), optional=True),
    running_variance=Numbers(np.float32, ("columns",), optional=True),
    momentum=FLOAT,
)
"""Normalisation and activation in training."""
GRADIENT = Layout(
    **_rows(OWN),
    **_PASSES,
    grad=_MATRIX,
    beside=Numbers(np.float32, ("rows", "columns"), optional=True),
    of_parameters=Numbers(np.float32, (2, "columns")),
)
"""Its gradient; ``beside`` is added to that of x."""
_ACTIVATION, _NORMALISATION, _GRADIENT = ACTIVATION.dtype, NORMALISATION.dtype, GRADIENT.dtype
NUMBERS = 5
"""Numbers for each column in the scratch memory ``numbers``."""


@kernel
def _claim_rows(job_address: int, rows: int) -> tuple[int, int, int]:
    """Return the next chunk, its first row and the row after its last; these are equal when no chunk is left."""
    chunk = claim(job_address)
    return chunk, min(rows, chunk * CHUNK), min(rows, (chunk + 1) * CHUNK)


def _moments_of_chunks(job_address: int, _: int) -> None:
    """Write the moments of every chunk and column to ``sums`` (chunks, MOMENTS, columns)."""
    call = record_at(job_address, _NORMALISATION)
    columns = call.columns
    while True:
        chunk, row_0, row_1 = _claim_rows(job_address, call.rows)
        if row_0 == row_1:
            return
        place = call.sums + 4 * MOMENTS * chunk * columns
        write_moments(call.x + 4 * row_0 * columns, row_1 - row_0, columns, columns, place, columns)


def _activate(job_address: int, _: int) -> None:
    call = record_at(job_address, _ACTIVATION)
    columns, slope, zero = call.columns, np.float32(call.slope), np.float32(0)
    scale, shift = floats_at(call.scale), floats_at(call.shift)
    while True:
        _, row_0, row_1 = _claim_rows(job_address, call.rows)
        if row_0 == row_1:
            return
        for row in range(row_0, row_1):
            x, out = floats_at(call.x + 4 * row * columns), floats_at(call.out + 4 * row * columns)
            for c in range(columns):
                value = x[c] * scale[c] + shift[c]
                out[c] = max(value, zero) + slope * min(value, zero)


@kernel
def _sum_columns(call: Record, row_0: int, rows: int, total: int, product: int) -> None:
    """Write the sums of g and of g (x - mean) over a few rows, for every column."""
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
    """Write the sums of g and of g (x - mean) of every chunk to ``sums`` (chunks, 2, columns)."""
    call = record_at(job_address, _GRADIENT)
    while True:
        chunk, row_0, row_1 = _claim_rows(job_address, call.rows)
        if row_0 == row_1:
            return
        total = call.sums + 8 * chunk * call.columns
        _sum_columns(call, row_0, row_1 - row_0, total, total + 4 * call.columns)


def _input_gradient_rows(job_address: int, _: int) -> None:
    """Write the gradient of x, g * scale + (x - mean) * factor + offset, plus ``beside``."""
    call = record_at(job_address, _GRADIENT)
    columns, slope, zero, one = call.columns, np.float32(call.slope), np.float32(0), np.float32(1)
    scale, shift, mean = floats_at(call.scale), floats_at(call.shift), floats_at(call.mean)
    factor, offset = floats_at(call.factor), floats_at(call.offset)
    while True:
        _, row_0, row_1 = _claim_rows(job_address, call.rows)
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


@kernel
def _place_numbers(call: Record) -> None:
    row = 4 * call.columns
    call.scale, call.shift, call.mean = call.numbers, call.numbers + row, call.numbers + 2 * row
    call.factor, call.offset = call.numbers + 3 * row, call.numbers + 4 * row


@kernel
def _write_affine(call: Record, moments: np.ndarray) -> None:
    """Write scale and shift so that x * scale + shift = (x - mean) / sqrt(variance + eps) * weight + bias."""
    weight, bias = floats_at(call.weight), floats_at(call.bias)
    scale, shift = floats_at(call.scale), floats_at(call.shift)
    for c in range(call.columns):
        factor = weight[c] / np.sqrt(moments[1, c] + call.eps)
        scale[c], shift[c] = factor, bias[c] - moments[0, c] * factor


@kernel
def _track(call: Record, moments: np.ndarray) -> None:
    """Update running mean and running variance, the latter with the unbiased variance of the batch, as torch does."""
    running_mean, running_variance = floats_at(call.running_mean), floats_at(call.running_variance)
    for c in range(call.columns):
        variance = moments[1, c] * call.rows / (call.rows - 1)
        running_mean[c] += call.momentum * (moments[0, c] - running_mean[c])
        running_variance[c] += call.momentum * (variance - running_variance[c])


def _normalise(job_address: int, _: int) -> None:
    """Normalise and activate; the ``MOMENTS`` of chunks are computed unless ``sums`` has them already."""
    call = record_at(job_address, _NORMALISATION)
    helpers = worth(call.board, call.helpers, float(OPERATIONS_A_NUMBER * call.rows * call.columns))
    _place_numbers(call)
    call.counter = 0
    if not call.sums_are_known:
        work_together(call.first, job_address, call.board, call.crew, helpers)
        call.counter = 0
    chunks = (call.rows + call.chunk - 1) // call.chunk
    moments = array_at(call.moments, (2, call.columns), np.float64)
    sums = array_at(call.sums, (chunks, MOMENTS, call.columns), np.float32)
    combine(sums, call.rows, call.chunk, moments)
    if call.running_mean:
        _track(call, moments)
    _write_affine(call, moments)
    work_together(call.second, job_address, call.board, call.crew, helpers)


@kernel
def _add_sums(call: Record, moments: np.ndarray) -> None:
    """Add up the sums of all chunks; write the gradients of weight and bias, and what the gradient of x needs.

    ``middle`` is the mean rounded to float32. Written are factor and offset with which g * scale + (x - middle) *
    factor + offset is the gradient of x, and to ``of_parameters`` (2, C) the gradients of weight and bias. Subtracting
    the middle keeps large terms from cancelling where a column varies little about a large mean.
    """
    rows, columns, chunks = call.rows, call.columns, (call.rows + CHUNK - 1) // CHUNK
    sums = array_at(call.sums, (chunks, 2, columns), np.float32)
    scale, middle = floats_at(call.scale), floats_at(call.mean)
    factor, offset = floats_at(call.factor), floats_at(call.offset)
    of_weight, of_bias = floats_at(call.of_parameters), floats_at(call.of_parameters + 4 * columns)
    for c in range(columns):
        total = product = 0.0
        for chunk in range(chunks):
            total += sums[chunk, 0, c]
            product += sums[chunk, 1, c]
        product += total * (middle[c] - moments[0, c])
        inverse = 1 / (moments[1, c] + call.eps)
        slope = -scale[c] * inverse * product / rows
        factor[c], offset[c] = slope, -scale[c] * total / rows - slope * (moments[0, c] - middle[c])
        of_weight[c], of_bias[c] = product * np.sqrt(inverse), total


def _gradients(job_address: int, _: int) -> None:
    """Write the gradients of x and of the parameters of a normalisation."""
    call = record_at(job_address, _GRADIENT)
    helpers = worth(call.board, call.helpers, float(OPERATIONS_A_NUMBER * call.rows * call.columns))
    moments = array_at(call.moments, (2, call.columns), np.float64)
    _place_numbers(call)
    _write_affine(call, moments)
    middle = floats_at(call.mean)
    for c in range(call.columns):
        middle[c] = np.float32(moments[0, c])
    call.counter = 0
    work_together(call.first, job_address, call.board, call.crew, helpers)
    _add_sums(call, moments)
    call.counter = 0
    work_together(call.second, job_address, call.board, call.crew, helpers)


normalisation, gradients = SharedKernel(_normalise), SharedKernel(_gradients)
