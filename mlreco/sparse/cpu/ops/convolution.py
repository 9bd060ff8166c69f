"""Sparse convolution on float32: checks, scratch memory, and the job of the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mlreco.sparse.cpu.ops import convolution_kernels
from mlreco.sparse.cpu.ops.convolution_kernels import JOB, LISTS_BYTES, MOST_ROWS, SOURCE, blocks_of_output
from mlreco.sparse.cpu.ops.epilogue import Epilogue
from mlreco.sparse.cpu.ops.panels import Packing, Panels, pack
from mlreco.sparse.cpu.threads.calls import DIRECT, Calls
from mlreco.sparse.cpu.threads.crew import crew_fields
from mlreco.sparse.native.job import Job
from mlreco.sparse.native.memory import Array, Scratch, aligned_empty

if TYPE_CHECKING:
    from mlreco.sparse.maps.kernel_map import KernelMap

_NO_EPILOGUE = Epilogue()
_sums, _row_lists = Scratch(), Scratch()


class Source(NamedTuple):
    """Features (n, Cin), float32 and C-contiguous, and the packed weight (K, Cin, Cout) that multiplies them."""

    features: Array
    panels: Panels


def _operands(
    sources: Sequence[Source], rows: int, offsets: int, packed: Packing
) -> list[tuple[dict[str, int], dict[str, Any]]]:
    """Return dims and fields of the ``SOURCE`` job of each source, after checks."""
    operands: list[tuple[dict[str, int], dict[str, Any]]] = []
    for features, (values, packing) in sources:
        shapes = (packing.offsets, packing.columns)
        if shapes != (offsets, packed.columns):
            expected = f"({offsets}, {packed.columns})"
            raise ValueError(f"offsets and columns of the weight do not match: {shapes}, expected {expected}")
        if packing.groups != packed.groups:
            raise ValueError("the weights of a convolution must be packed with the same column groups")
        operands.append(({"rows": rows}, {"features": features, "panels": values, **packing.source}))
    return operands


def convolve(
    sources: Sequence[Source],
    kernel_map: KernelMap,
    out: Array | None,
    active: Array | None = None,
    shortcuts: Sequence[Source] = (),
    epilogue: Epilogue = _NO_EPILOGUE,
    calls: Calls = DIRECT,
) -> None:
    """Write a sparse convolution to ``out`` and, activated, to ``active``.

    Args:
        sources: at least one; the output is the sum of their convolutions, that is, the convolution of their features
            side by side.
        kernel_map: pairs of input and output rows.
        out: (n_out, Cout) float32, C-contiguous, or None where only the activated output is wanted.
        active: the same, for the activated output of the epilogue.
        shortcuts: features on the output rows; their products with weights of one offset are added.
        epilogue: bias and residual that are added, and the activation.
        calls: makes the call.

    Raises:
        ValueError: shapes or types do not match.
    """
    n_out, packing = kernel_map.n_out, sources[0].panels.packing
    columns = packing.columns
    operands = _operands(sources, kernel_map.n_in, kernel_map.offsets, packing)
    if shortcuts:
        operands += _operands(shortcuts, n_out, 1, packing)
    crew = crew_fields(calls.threads)
    workers = crew["helpers"] + 1
    job = Job(
        JOB,
        {"n_out": n_out},
        work=blocks_of_output,
        map=kernel_map.record,
        sources=Job.table(SOURCE, operands),
        n_sources=len(sources),
        n_shortcuts=len(shortcuts),
        vectors=packing.vectors_record,
        n_groups=packing.n_groups,
        width=packing.width,
        sums=_sums.floats(workers * (min(MOST_ROWS, n_out) + 1) * packing.width),
        lists=_row_lists.floats(workers * LISTS_BYTES // 4),
        **crew,
        **epilogue.fields(out, active, (n_out, columns)),
    )
    calls(convolution_kernels.convolution, job, 1)


def convolve_once(
    features: torch.Tensor,
    weight: torch.Tensor,
    kernel_map: KernelMap,
    epilogue: Epilogue = _NO_EPILOGUE,
    shortcuts: Sequence[Source] = (),
    calls: Calls = DIRECT,
) -> torch.Tensor:
    """Return the (n_out, Cout) convolution with a weight whose panels are made for this call only.

    Args:
        features: (n_in, Cin) float32, C-contiguous.
        weight: (K, Cin, Cout) float32 of any strides; it must stay as it is until the call has been made.
        kernel_map: pairs of input and output rows.
        epilogue: as in ``convolve``.
        shortcuts: as in ``convolve``.
        calls: makes the calls; the output is complete when it has made them.
    """
    source = Source(features, pack(weight, keep=False, calls=calls))
    out = calls.empty(kernel_map.n_out, weight.shape[2])
    convolve([source], kernel_map, out, None, shortcuts, epilogue, calls)
    return out


def convolution(x: np.ndarray, panels: Panels, kernel_map: KernelMap, calls: Calls = DIRECT) -> np.ndarray:
    """Return the (n_out, Cout) convolution of x, (n_in, Cin) float32 and C-contiguous."""
    out = aligned_empty((kernel_map.n_out, panels.packing.columns))
    convolve([Source(x, panels)], kernel_map, out, calls=calls)
    return out
