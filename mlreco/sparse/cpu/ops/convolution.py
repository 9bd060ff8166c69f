"""Sparse convolution on float32: checks, room, and the job that the kernels run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from mlreco.sparse.cpu.ops import convolution_kernels
from mlreco.sparse.cpu.ops.convolution_kernels import LISTS_BYTES, MOST_ROWS, blocks_of_output
from mlreco.sparse.cpu.ops.epilogue import Epilogue
from mlreco.sparse.cpu.ops.panels import Packing, Panels, pack
from mlreco.sparse.cpu.threads.calls import AT_ONCE, Calls
from mlreco.sparse.cpu.threads.crew import crew_places
from mlreco.sparse.native.memory import Array, address, address_of_floats, aligned_empty, job, scratch

if TYPE_CHECKING:
    from mlreco.sparse.maps.kernel_map import KernelMap

_NO_EPILOGUE = Epilogue()


class Source(NamedTuple):
    """Features (n, Cin), float32 and C-contiguous, and the packed weight (K, Cin, Cout) that multiplies them."""

    features: Array
    panels: Panels


def _operands(sources: Sequence[Source], rows: int, offsets: int, packed: Packing) -> list[int]:
    """Return the numbers of the records of all sources, after checks."""
    operands, columns = [], packed.columns
    for features, (values, packing) in sources:
        shapes = (features.shape, packing.offsets, packing.columns)
        if shapes != ((rows, packing.rows), offsets, columns):
            expected = f"({rows}, {packing.rows}), {offsets}, {columns}"
            raise ValueError(f"features, offsets and columns of the weight do not match: {shapes}, expected {expected}")
        if packing.groups != packed.groups:
            raise ValueError("the weights of a convolution must be packed with the same column groups")
        operands += (
            address_of_floats(features, "features", (rows, packing.rows)),
            values.data_ptr(),
            packing.rows,
            *packing.steps,
        )
    return operands


def convolve(
    sources: Sequence[Source],
    kernel_map: KernelMap,
    out: Array | None,
    active: Array | None = None,
    shortcuts: Sequence[Source] = (),
    epilogue: Epilogue = _NO_EPILOGUE,
    threads: int = 1,
    calls: Calls = AT_ONCE,
) -> None:
    """Write a sparse convolution to ``out`` and, activated, to ``active``.

    Args:
        sources: at least one; the output is the sum of their convolutions, that is, the convolution of their features
            side by side.
        kernel_map: pairs of input and output rows.
        out: (n_out, Cout) float32, C-contiguous, or None where only the activated output is wanted.
        active: the same, for the activated output of the epilogue.
        shortcuts: features on the output rows; their products with weights of one offset are added.
        epilogue: what else is added before writing, and the activation.
        threads: how many threads work at most.
        calls: makes the call.

    Raises:
        ValueError: shapes or types do not match.
    """
    n_out, packing = kernel_map.n_out, sources[0].panels.packing
    columns = packing.columns
    operands = _operands(sources, kernel_map.n_in, kernel_map.offsets, packing)
    operands += _operands(shortcuts, n_out, 1, packing)
    board, desks, helpers = crew_places(threads)
    sums = scratch((helpers + 1) * (min(MOST_ROWS, n_out) + 1) * packing.width, "sums")
    lists = scratch((helpers + 1) * LISTS_BYTES // 4, "row lists")
    table = job(*operands)
    numbers = job(
        *(0, blocks_of_output.address, kernel_map.place, address(table), len(sources), len(shortcuts)),
        *(packing.vectors_place, packing.n_groups, packing.width, sums.data_ptr(), lists.data_ptr()),
        *(board, desks, helpers, 0, 0, 0, *epilogue.layout(out, active, (n_out, columns))),
    )
    room = table, sums, lists
    calls(convolution_kernels.convolution, numbers, 1, sources, shortcuts, kernel_map, epilogue, out, active, room)


def convolve_once(
    features: torch.Tensor,
    weight: torch.Tensor,
    kernel_map: KernelMap,
    epilogue: Epilogue = _NO_EPILOGUE,
    shortcuts: Sequence[Source] = (),
    threads: int = 1,
    calls: Calls = AT_ONCE,
) -> torch.Tensor:
    """Return the (n_out, Cout) convolution with a weight that is packed for this call only.

    Args:
        features: (n_in, Cin) float32, C-contiguous.
        weight: (K, Cin, Cout) float32 of any strides; it must stay as it is until the call has been made.
        kernel_map: as in ``convolve``, and so are epilogue, shortcuts, threads and calls.
        epilogue: see there.
        shortcuts: see there.
        threads: see there.
        calls: see there; the output is complete when it has made the calls.
    """
    source = Source(features, pack(weight, threads, keep=False, calls=calls))
    out = calls.empty(kernel_map.n_out, weight.shape[2])
    convolve([source], kernel_map, out, None, shortcuts, epilogue, threads, calls)
    return out


def convolution(x: np.ndarray, panels: Panels, kernel_map: KernelMap, threads: int = 1) -> np.ndarray:
    """Return the (n_out, Cout) convolution of x, (n_in, Cin) float32 and C-contiguous."""
    out = aligned_empty((kernel_map.n_out, panels.packing.columns))
    convolve([Source(x, panels)], kernel_map, out, threads=threads)
    return out
