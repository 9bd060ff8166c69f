"""Linear layers through the register tiles, for kernels that take a block of rows through several layers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mlreco.sparse.cpu.codegen.shared_memory import address_of, integers_at
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.codegen.tile import BEYOND
from mlreco.sparse.cpu.ops.panels import pack
from mlreco.sparse.cpu.ops.row_lists import ADDRESS_BYTES, fill_up
from mlreco.sparse.cpu.ops.tiles import HEIGHTS, multiply
from mlreco.sparse.native.jit import kernel

_LANES = UNIT.lanes


class Dense(NamedTuple):
    """A linear layer as kernels read it.

    Attributes:
        panels: float32 panels of the weight.
        widths: (G,) int64 vectors of each column group.
        bias: (outputs,) float32, rounded up to full vectors with zeros.
        inputs: numbers of an input row.
    """

    panels: np.ndarray
    widths: np.ndarray
    bias: np.ndarray
    inputs: int


def dense(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Dense:
    """Return copies of a layer's numbers in the order in which kernels read them.

    Args:
        weight: (outputs, inputs) float32 on the CPU.
        bias: (outputs,) float32; zeros if None.
    """
    values, packing = pack(weight.detach().T[None])
    padded = np.zeros(packing.width, np.float32)
    if bias is not None:
        padded[: len(bias)] = bias.detach().numpy()
    return Dense(values.numpy(), np.array(packing.vectors), padded, weight.shape[1])


def room_for_lists(rows: int) -> int:
    """Return how many int64 ``add_products`` needs as scratch memory for so many rows."""
    return 2 * (rows + BEYOND)


@kernel
def add_products(
    inputs: np.ndarray, first: int, rows: int, layer: Dense, sums: np.ndarray, column: int, lists: np.ndarray
) -> None:
    """Add the products of rows and a layer's weight to sums; the bias is not added.

    Each sum depends on its own row alone, to the last bit.

    Args:
        inputs: (N, I) float32 with contiguous rows of any stride, of which the first ``layer.inputs`` numbers count.
        first: first row of the inputs.
        rows: number of rows.
        layer: what they are multiplied by.
        sums: (at least rows + 1, S) float32 likewise, S from ``len(layer.bias)`` on; the row after the last is
            overwritten.
        column: first column of the sums.
        lists: ``room_for_lists(rows)`` int64 of scratch memory.
    """
    source, target = address_of(inputs), address_of(sums) + 4 * column
    source += first * inputs.strides[0]
    sources = address_of(lists)
    targets = sources + ADDRESS_BYTES * (rows + BEYOND)
    numbers, places = integers_at(sources), integers_at(targets)
    for row in range(rows):
        numbers[row], places[row] = source + row * inputs.strides[0], target + row * sums.strides[0]
    fill_up(sources, rows, BEYOND, source)
    fill_up(targets, rows, BEYOND, target + rows * sums.strides[0])
    panel, before = address_of(layer.panels), 0
    for width in layer.widths:
        height = HEIGHTS[width - 1]
        tiles = (rows + height - 1) // height
        here = panel + 4 * layer.inputs * before
        multiply(width, (sources, targets, 4 * before, tiles, layer.inputs, here, 4 * width * _LANES, here))
        before += width * _LANES
