"""What is done to a block of output before it is written, while it is still in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlreco.sparse.cpu.codegen.shared_memory import Record, floats_at
from mlreco.sparse.cpu.ops.column_moments import MOMENTS, write_moments
from mlreco.sparse.maps.submanifold import BLOCK
from mlreco.sparse.native.jit import kernel
from mlreco.sparse.native.job import FLOAT, INT, Layout, Numbers
from mlreco.sparse.native.memory import Array

_COLUMN = Numbers(np.float32, ("stride",), optional=True)
_MATRIX = Numbers(np.float32, ("n_out", "stride"), optional=True)
EPILOGUE = Layout(
    bias=_COLUMN,
    residual=_MATRIX,
    scale=_COLUMN,
    shift=_COLUMN,
    raw=_MATRIX,
    active=_MATRIX,
    moments=Numbers(np.float32, optional=True),
    stride=INT,
    slope=FLOAT,
)
"""What ``finish`` reads: addresses of arrays (0 for those that are absent), ``stride`` numbers a row, and the slope."""


@dataclass(frozen=True)
class Activation:
    """BatchNorm in evaluation and LeakyReLU: leaky_relu(x * scale + shift, slope).

    Attributes:
        scale, shift: (C,) float32, C-contiguous.
        slope: of the leaky ReLU on negative numbers.
    """

    scale: Array
    shift: Array
    slope: float


class Epilogue(NamedTuple):
    """What is added to the output, and what is written beside it.

    Attributes:
        bias: (Cout,) float32 added to every row.
        residual: (n_out, Cout) float32 added.
        activation: of a second copy of the output.
        moments: (at least ceil(n_out / BLOCK) * MOMENTS * Cout,) float32, C-contiguous, written: the ``MOMENTS`` of
            every ``BLOCK`` output rows.
    """

    bias: Array | None = None
    residual: Array | None = None
    activation: Activation | None = None
    moments: Array | None = None

    def fields(self, raw: Array | None, active: Array | None, shape: tuple[int, int]) -> dict[str, Any]:
        """Return the fields of ``EPILOGUE``.

        Args:
            raw: (n_out, Cout) float32, C-contiguous, the output; None where it is not wanted.
            active: the same for its activated copy.
            shape: n_out and Cout.

        Raises:
            ValueError: too little room for moments, or an activated copy without an activation.
        """
        rows, columns = shape
        if self.moments is not None and len(self.moments) < -(-rows // BLOCK) * MOMENTS * columns:
            raise ValueError(f"there is no room for the moments of {rows} rows and {columns} columns")
        if active is not None and self.activation is None:
            raise ValueError("an activated output needs an activation")
        scale, shift, slope = (None, None, 0.0)
        if self.activation is not None:
            scale, shift, slope = self.activation.scale, self.activation.shift, self.activation.slope
        return {
            "bias": self.bias,
            "residual": self.residual,
            "scale": scale,
            "shift": shift,
            "raw": raw,
            "active": active,
            "moments": self.moments,
            "stride": columns,
            "slope": slope,
        }


@kernel
def finish(sums: int, width: int, row_0: int, row_1: int, column_0: int, epilogue: Record) -> None:
    """Write the sums of a block to rows ``row_0`` to ``row_1`` and columns from ``column_0`` on of the output.

    Args:
        sums: address of the block.
        width: numbers in a row of the block.
        row_0: first row of the output.
        row_1: row after the last.
        column_0: first column of the output.
        epilogue: a record with the fields of ``EPILOGUE``.
    """
    bias, residual = floats_at(epilogue.bias + 4 * column_0), floats_at(epilogue.residual)
    scale, shift = floats_at(epilogue.scale + 4 * column_0), floats_at(epilogue.shift + 4 * column_0)
    raw, active = floats_at(epilogue.raw), floats_at(epilogue.active)
    columns, slope = min(width, epilogue.stride - column_0), np.float32(epilogue.slope)
    zero = np.float32(0)
    for row in range(row_0, row_1):
        here, there = floats_at(sums + 4 * (row - row_0) * width), row * epilogue.stride + column_0
        if epilogue.bias:
            for c in range(columns):
                here[c] += bias[c]
        if epilogue.residual:
            for c in range(columns):
                here[c] += residual[there + c]
        if epilogue.raw:
            for c in range(columns):
                raw[there + c] = here[c]
        if epilogue.active:
            for c in range(columns):
                value = here[c] * scale[c] + shift[c]
                active[there + c] = max(value, zero) + slope * min(value, zero)
    if epilogue.moments:
        for first in range(row_0, row_1, BLOCK):
            place = epilogue.moments + 4 * (MOMENTS * (first // BLOCK) * epilogue.stride + column_0)
            rows = min(BLOCK, row_1 - first)
            write_moments(sums + 4 * (first - row_0) * width, rows, columns, width, place, epilogue.stride)
