"""Batch normalisation in training followed by LeakyReLU, and its gradient, in two passes over the rows each.

Batch normalisation: Ioffe and Szegedy, arXiv:1502.03167. Sums are taken over chunks of rows and added up in the order
of chunks in float64, so they do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from mlreco.sparse.cpu.ops import norm_kernels
from mlreco.sparse.cpu.ops.column_moments import MOMENTS, Moments, chunk_sums
from mlreco.sparse.cpu.ops.epilogue import Activation
from mlreco.sparse.cpu.ops.norm_kernels import (
    ACTIVATION,
    CHUNK,
    GRADIENT,
    NORMALISATION,
    NUMBERS,
    activate_rows,
    chunk_gradients,
    chunk_moments,
    input_gradient,
)
from mlreco.sparse.cpu.threads.calls import DIRECT, Calls
from mlreco.sparse.cpu.threads.crew import crew_fields, threads_worth
from mlreco.sparse.native.job import Job
from mlreco.sparse.native.memory import Array, Scratch, floats

_column_numbers = Scratch()


class Running(NamedTuple):
    """Running statistics of columns, which a batch updates.

    Attributes:
        mean: (C,) float32, C-contiguous, written.
        variance: the same.
        momentum: weight of the batch in the update.
    """

    mean: Array
    variance: Array
    momentum: float


class Norm(NamedTuple):
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


def activate(x: Array, activation: Activation, out: Array, calls: Calls = DIRECT) -> None:
    """Write the activation of x to ``out``.

    Args:
        x: (N, C) float32, C-contiguous.
        activation: leaky_relu(x * scale + shift, slope).
        out: (N, C) float32, C-contiguous; may be x.
        calls: makes the call.
    """
    scale, shift, slope = activation.scale, activation.shift, activation.slope
    job = Job(ACTIVATION, scale=scale, shift=shift, **_rows(x, out, slope))
    calls(activate_rows, job, threads_worth(calls.threads, numbers=x.shape[0] * x.shape[1]))


def normalise(
    x: Array,
    norm: Norm,
    out: Array,
    sums: torch.Tensor | None = None,
    chunk: int = CHUNK,
    running: Running | None = None,
    calls: Calls = DIRECT,
) -> Moments:
    """Write the normalised and activated x to ``out`` and return the moments of its columns.

    Args:
        x: (N, C) float32, C-contiguous, N at least 1.
        norm: parameters of the normalisation.
        out: (N, C) float32, C-contiguous; may be x.
        sums: the ``MOMENTS`` of chunks of rows, as ``write_moments`` writes them, where they are known already.
        chunk: rows of a chunk.
        running: running statistics that are updated, with the unbiased variance; N must be at least 2.
        calls: makes the call, after which moments and output are complete.
    """
    rows, columns = x.shape
    if rows < (1 if running is None else 2):
        raise ValueError(f"{rows} rows have no moments")
    if sums is not None and sums.numel() < -(-rows // chunk) * MOMENTS * columns:
        raise ValueError(f"sums of {rows} rows and {columns} columns are more than {sums.numel()} numbers")
    moments = Moments(torch.empty(2, columns, dtype=torch.float64, device="cpu"))
    job = Job(
        NORMALISATION,
        first=chunk_moments,
        second=activate_rows,
        sums=chunk_sums(rows, columns, chunk) if sums is None else sums,
        sums_are_known=int(sums is not None),
        chunk=chunk,
        running_mean=None if running is None else running.mean,
        running_variance=None if running is None else running.variance,
        momentum=0.0 if running is None else running.momentum,
        **_passes(x, out, norm, moments, calls.threads),
    )
    calls(norm_kernels.normalisation, job, 1)
    return moments


def _rows(x: Array, out: Array, slope: float) -> dict[str, Any]:
    """Return the fields that all jobs here have: a matrix, where the result goes, and the slope of the leaky ReLU."""
    rows, columns = x.shape
    return {"rows": rows, "columns": columns, "x": x, "out": out, "slope": slope}


def _passes(x: Array, out: Array, norm: Norm, moments: Moments, threads: int) -> dict[str, Any]:
    """Return the fields that a normalisation and its gradient share."""
    room = _column_numbers.floats(NUMBERS * moments.values.shape[1])
    parameters = {"weight": norm.weight, "bias": norm.bias, "moments": moments.values, "eps": norm.eps}
    return {**_rows(x, out, norm.slope), **parameters, "numbers": room, **crew_fields(threads)}


def gradients(
    x: Array,
    grad: Array,
    moments: Moments,
    norm: Norm,
    out: Array,
    beside: Array | None = None,
    calls: Calls = DIRECT,
) -> torch.Tensor:
    """Write the gradient of x to ``out`` and return those of weight and bias, (2, C) float32.

    Args:
        x: (N, C) float32, what was normalised, C-contiguous.
        grad: (N, C) float32 gradient of what ``normalise`` wrote, C-contiguous.
        moments: what it returned.
        norm: what it did.
        out: (N, C) float32, C-contiguous; may be grad.
        beside: (N, C) float32, C-contiguous, added to the gradient of x.
        calls: makes the call, after which all gradients are complete.
    """
    rows, columns = x.shape
    of_parameters = floats(2, columns)
    job = Job(
        GRADIENT,
        first=chunk_gradients,
        second=input_gradient,
        sums=chunk_sums(rows, columns, CHUNK),
        grad=grad,
        beside=beside,
        of_parameters=of_parameters,
        **_passes(x, out, norm, moments, calls.threads),
    )
    calls(norm_kernels.gradients, job, 1)
    return of_parameters
