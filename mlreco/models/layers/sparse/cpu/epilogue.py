"""What happens to a block of output while it is still in the cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.models.layers.sparse.cpu.jit import kernel

_NONE = np.empty(0, np.float32)


@dataclass(frozen=True)
class Epilogue:
    """Bias and residual are added to the output; a second, activated copy of it may be written, too.

    Attributes:
        bias: (Cout,) float32 added to every row.
        residual: (n_out, Cout) float32 added.
        scale, shift: (Cout,) float32 of an affine map (BatchNorm in evaluation); the activated output is
            leaky_relu(out * scale + shift).
        slope: of the leaky ReLU on negative numbers.
    """

    bias: np.ndarray | None = None
    residual: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    slope: float = 0.0

    def operands(self) -> tuple[np.ndarray | np.float32, ...]:
        """Return bias, residual, scale, shift, flat and empty where there are none, and slope, for ``finish``."""
        return (*(flat(a) for a in (self.bias, self.residual, self.scale, self.shift)), np.float32(self.slope))


def flat(array: np.ndarray | None) -> np.ndarray:
    """Return the numbers of a C-contiguous array in one row; none for None."""
    return _NONE if array is None else array.reshape(-1)


@kernel
def finish(
    sums: np.ndarray,
    width: int,
    row_0: int,
    row_1: int,
    column_0: int,
    stride: int,
    bias: np.ndarray,
    residual: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    slope: float,
    raw: np.ndarray,
    active: np.ndarray,
) -> None:
    """Write the sums of a block of rows and columns; unsigned places let LLVM use vectors and skip sign checks."""
    columns = np.uint64(min(width, stride - column_0))
    zero, first = np.float32(0), np.uint64(column_0)
    for row in range(row_0, row_1):
        here, there = np.uint64((row - row_0) * width), np.uint64(row * stride + column_0)
        if len(bias):
            for c in range(columns):
                sums[here + c] += bias[first + c]
        if len(residual):
            for c in range(columns):
                sums[here + c] += residual[there + c]
        if len(raw):
            for c in range(columns):
                raw[there + c] = sums[here + c]
        if len(active):
            for c in range(columns):
                value = sums[here + c] * scale[first + c] + shift[first + c]
                active[there + c] = max(value, zero) + slope * min(value, zero)
