"""The register tiles of products of matrices, of the width that is asked for."""

from __future__ import annotations

import numpy as np

from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.codegen.tile import forward_tile
from mlreco.sparse.native.jit import kernel

_one, _two, _three = forward_tile(1), forward_tile(2), forward_tile(3)
_four = forward_tile(min(4, len(UNIT.rows)))
HEIGHTS = np.array(UNIT.rows, np.int64)
"""Rows of the tiles that are 1, 2, ... vectors wide."""


@kernel
def multiply(vectors: int, operands: tuple[int, ...]) -> None:
    """Run the tile that is so many vectors wide; operands as ``forward_tile`` says."""
    if vectors == 1:
        _one(operands)
    elif vectors == 2:
        _two(operands)
    elif vectors == 3:
        _three(operands)
    else:
        _four(operands)
