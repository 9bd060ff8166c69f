"""Tables of rows and convolutions by table as Triton kernels: each function starts one.

A convolution computes a block of rows and output features at a time. It gathers the features of a step of the sum into
registers, so that what is gathered never goes to memory, and adds residual, normalisation and activation at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import torch
import triton
from torch import Tensor

from mlreco.sparse.gathered import triton_code
from mlreco.sparse.gathered.parts import ABSENT, Affine, Ascent, Convolution, Halving, Part

FLOAT32 = "tf32x3"
"""Products of float32 numbers as three of TF32, which together have nearly all their bits."""
_launching = threading.Lock()


def _launch(kernel: Any, grid: tuple[int, ...], *arguments: Any) -> Any:
    """Start a kernel, which is compiled at the first call, and return what was compiled.

    One thread at a time: Triton makes a compiled kernel known to all threads before it is loaded.
    """
    with _launching:
        return kernel[grid](*arguments)


def codes_of(indices: Tensor) -> Tensor:
    """Return the (N,) int64 codes of (N, 4) integers: batch index, x, y, z."""
    count = len(indices)
    codes = indices.new_empty(count, dtype=torch.int64)
    _launch(triton_code.codes, (triton.cdiv(count, triton_code.SITES.value),), indices.contiguous(), codes, count)
    return codes


def climbed(voxels: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Return the (L, N) codes of voxels at every level, and whether one is the first of its site, (L, N) bool.

    Args:
        voxels: (N,) ascending codes.
        levels: L.
    """
    count = len(voxels)
    codes, is_first = voxels.new_empty(levels, count), voxels.new_empty((levels, count), dtype=torch.bool)
    grid = (triton.cdiv(count, triton_code.SITES.value), levels)
    _launch(triton_code.climb, grid, voxels, codes, is_first, count)
    return codes, is_first


def sites_and_halvings(ascent: Ascent, indices: Tensor) -> tuple[list[Tensor], list[Tensor], list[Halving]]:
    """Return the (n,) codes and the (n, 4) sites of all levels, in the order of the codes, and their halvings."""
    counts, (depth, voxels) = list(ascent.counts), ascent.codes.shape
    own_codes, own_sites = ascent.codes.new_empty(sum(counts)), indices.new_empty(sum(counts), 4)
    children, parents = indices.new_full((2, sum(counts), 8), ABSENT, dtype=torch.int32)
    numbers = ascent.sites[:, -1] + 1
    starts = numbers.cumsum(0) - numbers
    given = (ascent.order, ascent.codes, ascent.sites, indices.contiguous(), starts)
    grid = (triton.cdiv(voxels, triton_code.SITES.value), depth)
    _launch(triton_code.levels, grid, *given, own_codes, own_sites, children, parents, voxels)
    below, above = children.split(counts), parents.split(counts)
    return list(own_codes.split(counts)), list(own_sites.split(counts)), list(map(Halving, below[1:], above[:-1]))


def neighbours(codes: Tensor, order: Tensor | None) -> Tensor:
    """Return the (n, 27) int32 rows of the neighbours.

    Args:
        codes: (n,) ascending.
        order: (n,) int32, row of each site, None where rows are in this order.
    """
    count = len(codes)
    table = codes.new_empty((count, 27), dtype=torch.int32)
    rows = table if order is None else order
    grid = (triton.cdiv(count, triton_code.SITES.value), 27)
    _launch(triton_code.neighbours, grid, codes, rows, table, count, count.bit_length(), order is None)
    return table


def _blocks(rows: int, cin: int, cout: int) -> tuple[int, int, int]:
    """Return the rows, output features and input features of a step; small images give many small blocks."""
    columns = 64 if cout % 64 == 0 else 32 if cout > 16 else 16
    deep = 16 if cin <= 16 else 64 if cin % 64 == 0 else 32
    return (64 if rows > 8192 else 32 if rows > 2048 else 16), columns, deep


_ready: dict[tuple[Any, ...], Any] = {}
"""Compiled kernels of convolutions by all that their code depends on."""


def _are_aligned(tensors: Iterable[Tensor]) -> bool:
    """Tell whether all tensors begin at multiples of 16 bytes, of which Triton's code makes use."""
    places = 0
    for tensor in tensors:  # functools.reduce takes twice the time
        places |= tensor.data_ptr()
    return places % 16 == 0


def _start(
    source: Tensor,
    table: Tensor,
    layer: Convolution,
    residual: Tensor | None,
    raw: Tensor | None,
    active: Tensor | None,
) -> None:
    """Start the kernel of a convolution.

    Triton's own call looks at every argument to find the code that was compiled for its type, size and alignment. That
    takes three times as long as starting the kernel, and an inference starts a hundred. Here the arguments on which the
    code depends are the key.
    """
    weight, shortcut, then = layer
    scale, shift, slope = (None, None, 0.0) if then is None else then
    given = source, table, weight, residual, shortcut, scale, shift, raw, active
    tensors = [weight if tensor is None else tensor for tensor in given]  # something must stand in for what is absent
    (rows, offsets), (_, cin, cout) = table.shape, weight.shape
    residual_width = 0 if residual is None else residual.shape[1]
    raw_stride = 0 if raw is None else raw.stride(0)
    active_stride = 0 if active is None else active.stride(0)
    sizes = offsets, cin, cout, residual_width, raw_stride, active_stride, slope
    flags = residual is not None, shortcut is not None, raw is not None, active is not None
    precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else FLOAT32
    block_rows, block_columns, deep = _blocks(rows, cin, cout)
    settings = *flags, precision, block_rows, block_columns, deep
    grid = -(-rows // block_rows), -(-cout // block_columns), 1
    aligned = _are_aligned(tensors)
    key = source.device.index, weight.dtype, tensors[-1].dtype, aligned, sizes, settings
    kernel = _ready.get(key)
    if kernel is not None:
        kernel[grid](*tensors, rows, *sizes, *settings)
        return
    kernel = _launch(triton_code.convolution, grid, *tensors, rows, *sizes, *settings)
    if aligned:
        _ready[key] = kernel


def activated_convolution(source: Tensor, table: Tensor, layer: Convolution) -> Tensor:
    """Return a convolution after normalisation and activation, in the dtype of ``source``."""
    active = source.new_empty(len(table), layer.weight.shape[2])
    _start(source, table, layer, None, None, active)
    return active


def convolution(
    source: Tensor,
    table: Tensor,
    layer: Convolution,
    dtype: torch.dtype,
    residual: Tensor | None = None,
    into: Part | None = None,
) -> Part:
    """Return a convolution, and the same after normalisation and activation; arguments as in ``torch_kernels``."""
    if into is None:
        raw = source.new_empty((len(table), layer.weight.shape[2]), dtype=torch.float32)
        into = Part(raw, raw if layer.then is None else torch.empty_like(raw, dtype=dtype))
    _start(source, table, layer, residual, into.raw, None if layer.then is None else into.active)
    return into


def copy_and_activation(features: Tensor, then: Affine, into: Part) -> None:
    """Write (m, C) float32 features, and the same after normalisation and activation."""
    rows, width = features.shape
    strides = into.raw.stride(0), into.active.stride(0)
    grid = (triton.cdiv(rows, triton_code.COPIED.value),)
    sizes = (rows, width, *strides, then.slope, triton.next_power_of_2(width))
    _launch(triton_code.copy, grid, features, then.scale, then.shift, *into, *sizes)
