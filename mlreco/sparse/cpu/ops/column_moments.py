"""Mean and variance of the columns of a matrix, from sums over chunks of rows.

For each chunk and column three float32 numbers are kept: the rounded mean, the sum of the deviations from it, and the
sum of their squares. Chunks are combined in float64, in their order (Chan, Golub and LeVeque, 1983), so the result does
not depend on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mlreco.sparse.cpu.codegen.shared_memory import floats_at
from mlreco.sparse.cpu.codegen.strips import moments_strip, strip_columns
from mlreco.sparse.native.jit import kernel
from mlreco.sparse.native.memory import Scratch


class Moments(NamedTuple):
    """Moments of every column.

    Attributes:
        values: (2, C) float64 on the CPU, C-contiguous: mean and biased variance.
    """

    values: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        """(C,) means."""
        return self.values[0]

    @property
    def variance(self) -> torch.Tensor:
        """(C,) mean squared deviations from them."""
        return self.values[1]


MOMENTS = 3
"""Numbers kept for every chunk and column: rounded mean, sum of deviations from it, sum of their squares."""


_chunk_sums = Scratch()


def chunk_sums(rows: int, columns: int, chunk: int) -> torch.Tensor:
    """Return scratch memory for the ``MOMENTS`` of all chunks and columns, valid until this thread asks again.

    Returns:
        (at least chunks * MOMENTS * columns,) float32.
    """
    return _chunk_sums.floats(-(-rows // chunk) * MOMENTS * columns)


@kernel
def write_moments(x: int, rows: int, columns: int, stride: int, place: int, width: int) -> None:
    """Write the ``MOMENTS`` of every column of a few rows, at least one.

    Args:
        x: address of the first row.
        rows: number of rows.
        columns: numbers in a row.
        stride: numbers from the beginning of a row to that of the next.
        place: address at which the means are written.
        width: numbers from the means to the sums of deviations, and from these to the sums of squares.
    """
    first, mean, rest, squares = 0, place, place + 4 * width, place + 8 * width
    strip = strip_columns(columns)
    while strip:
        places = strip, x + 4 * first, 4 * stride, rows, mean + 4 * first, rest + 4 * first, squares + 4 * first
        moments_strip(places)
        first += strip
        strip = strip_columns(columns - first)
    means, rests, sums = floats_at(mean), floats_at(rest), floats_at(squares)
    share_of_row = np.float32(1) / np.float32(rows)
    for c in range(first, columns):
        means[c] = rests[c] = sums[c] = np.float32(0)
        for row in range(rows):
            means[c] += floats_at(x)[row * stride + c]
        means[c] *= share_of_row
        for row in range(rows):
            deviation = floats_at(x)[row * stride + c] - means[c]
            rests[c] += deviation
            sums[c] += deviation * deviation


@kernel
def combine(sums: np.ndarray, rows: int, chunk: int, moments: np.ndarray) -> None:
    """Write mean and variance of all rows from the ``MOMENTS`` of chunks of rows.

    Args:
        sums: (chunks, MOMENTS, C) float32.
        rows: number of rows in all.
        chunk: rows of a chunk; the last may have fewer.
        moments: (2, C) float64 ``Moments.values``, written.
    """
    chunks, _, columns = sums.shape
    mean, variance = moments
    mean[:] = 0.0
    variance[:] = 0.0
    for number in range(chunks):
        count = min(chunk, rows - number * chunk)
        for c in range(columns):
            mean[c] += count * np.float64(sums[number, 0, c]) + sums[number, 1, c]
    for c in range(columns):
        mean[c] /= rows
    for number in range(chunks):
        count = min(chunk, rows - number * chunk)
        for c in range(columns):
            deviation = sums[number, 0, c] - mean[c]
            variance[c] += sums[number, 2, c] + 2 * deviation * sums[number, 1, c] + count * deviation * deviation
    for c in range(columns):
        variance[c] /= rows
