"""Batch normalisation in training followed by LeakyReLU, and its gradient, in two passes over the rows each.

Batch normalisation: Ioffe and Szegedy, arXiv:1502.03167. Sums are taken over chunks of rows and added up in their order
in float64, so they do not depend on the number of threads. What lies between two passes is small, so one call makes
both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mlreco.sparse.cpu.ops import norm_kernels
from mlreco.sparse.cpu.ops.column_moments import MOMENTS, Moments, chunk_sums
from mlreco.sparse.cpu.ops.epilogue import Activation
from mlreco.sparse.cpu.ops.norm_kernels import (
    CHUNK,
    NUMBERS,
    activate_rows,
    chunk_gradients,
    chunk_moments,
    input_gradient,
    norm_job,
)
from mlreco.sparse.cpu.threads.calls import AT_ONCE, Calls
from mlreco.sparse.cpu.threads.crew import crew_for, crew_places
from mlreco.sparse.native.memory import Array, address_of_floats, bits, floats, scratch


class Running(NamedTuple):
    """Running statistics of columns, which a batch moves.

    Attributes:
        mean: (C,) float32, C-contiguous, changed.
        variance: the same.
        momentum: share of the new in them.
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


def activate(x: Array, activation: Activation, out: Array, threads: int = 1, calls: Calls = AT_ONCE) -> None:
    """Write the activation of x to ``out``.

    Args:
        x: (N, C) float32, C-contiguous.
        activation: leaky_relu(x * scale + shift, slope).
        out: (N, C) float32, C-contiguous; may be x.
        threads: how many threads work at most.
        calls: makes the call.
    """
    rows, columns = x.shape
    if activation.columns != columns:
        raise ValueError(f"an activation of {columns} columns is needed, not of {activation.columns}")
    scale, shift, slope = activation.numbers
    numbers = norm_job((rows, columns), *_places_of_rows(x, out), slope, scale=scale, shift=shift)
    calls(activate_rows, numbers, crew_for(threads, numbers=rows * columns), x, activation, out)


def normalise(
    x: Array,
    norm: Norm,
    out: Array,
    threads: int = 1,
    sums: torch.Tensor | None = None,
    chunk: int = CHUNK,
    running: Running | None = None,
    calls: Calls = AT_ONCE,
) -> Moments:
    """Write the normalised and activated x to ``out`` and return the moments of its columns.

    Args:
        x: (N, C) float32, C-contiguous, N at least 1.
        norm: what is done.
        out: (N, C) float32, C-contiguous; may be x.
        threads: how many threads work at most.
        sums: the moments of chunks of rows, as ``write_moments`` writes them, where they are known.
        chunk: rows of a chunk.
        running: what the moments move, N at least 2; the variance is that of an unbiased estimate.
        calls: makes the call, after which moments and output are complete.
    """
    rows, columns = x.shape
    known = sums is not None
    if rows < (1 if running is None else 2):
        raise ValueError(f"{rows} rows have no moments")
    if known:
        address_of_floats(sums, "sums", (max(len(sums), -(-rows // chunk) * MOMENTS * columns),))
    sums = sums if known else chunk_sums(rows, columns, chunk)
    moments, room = Moments(np.empty((2, columns))), scratch(NUMBERS * columns, "norm numbers")
    numbers = norm_job(
        (rows, columns),
        *_places_of_rows(x, out),
        bits(norm.slope),
        parameters=_parameters(norm, moments),
        passes=(chunk_moments.address, activate_rows.address, int(known), chunk),
        room=(sums.data_ptr(), room.data_ptr()),
        crew=crew_places(threads),
        running=(0, 0, 0) if running is None else _places(running, columns),
    )
    calls(norm_kernels.normalisation, numbers, 1, x, norm, out, sums, room, moments, running)
    return moments


def _addresses(columns: int, *arrays: Array) -> list[int]:
    return [address_of_floats(array, "a number for each column", (columns,)) for array in arrays]


def _places_of_rows(*arrays: Array) -> list[int]:
    """Return where matrices begin that all have the shape of the first."""
    rows, columns = arrays[0].shape
    return [address_of_floats(array, "input, output and gradient", (rows, columns)) for array in arrays]


def _places(running: Running, columns: int) -> tuple[int, int, int]:
    return *_addresses(columns, running.mean, running.variance), bits(running.momentum)


def _parameters(norm: Norm, moments: Moments) -> tuple[int, int, int, int]:
    columns = moments.values.shape[1]
    return *_addresses(columns, norm.weight, norm.bias), moments.address, bits(norm.eps)


def gradients(
    x: Array,
    grad: Array,
    moments: Moments,
    norm: Norm,
    out: Array,
    threads: int = 1,
    beside: Array | None = None,
    calls: Calls = AT_ONCE,
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
        calls: makes the call, after which all gradients are complete.
    """
    rows, columns = x.shape
    if moments.values.shape != (2, columns):
        raise ValueError(f"moments of {columns} columns are needed, not {moments.values.shape}")
    _, grad_place, *beside_place = _places_of_rows(x, grad, *([] if beside is None else [beside]))
    of_parameters, sums = floats(2, columns), chunk_sums(rows, columns, CHUNK)
    room = scratch(NUMBERS * columns, "norm numbers")
    numbers = norm_job(
        (rows, columns),
        *_places_of_rows(x, out),
        bits(norm.slope),
        grads=(grad_place, *(beside_place or [0]), of_parameters.data_ptr()),
        parameters=_parameters(norm, moments),
        passes=(chunk_gradients.address, input_gradient.address, 0, CHUNK),
        room=(sums.data_ptr(), room.data_ptr()),
        crew=crew_places(threads),
    )
    calls(norm_kernels.gradients, numbers, 1, x, grad, moments, norm, out, beside, sums, room, of_parameters)
    return of_parameters
