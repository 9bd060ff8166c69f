"""Operations on segments: rows of an array that share a segment number, whatever their order."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_KEY_LIMIT = 2**62


def segment_sum(values: Tensor, segments: Tensor, count: int) -> Tensor:
    """Sum the values of each segment.

    Differentiable; rows are added in their order, so that the result on a CPU is the same at every call.

    Args:
        values: (N,) or (N, D).
        segments: (N,) int64 numbers in [0, count).
        count: number of segments.

    Returns:
        (count,) or (count, D) of the dtype of ``values``; 0 for a segment without rows.
    """
    if values.dim() == 1:
        return values.new_zeros(count).index_add(0, segments, values)
    return torch.stack([segment_sum(column, segments, count) for column in values.unbind(1)], dim=1)


def segment_mean(values: Tensor, segments: Tensor, count: int) -> Tensor:
    """Average the values of each segment.

    Args:
        values: (N,) or (N, D) floating point.
        segments: (N,) int64 numbers in [0, count).
        count: number of segments.

    Returns:
        (count,) or (count, D); 0 for a segment without rows.
    """
    sizes = torch.bincount(segments, minlength=count).clamp(min=1).to(values.dtype)
    sums = segment_sum(values, segments, count)
    return sums / (sizes if values.dim() == 1 else sizes[:, None])


def segment_starts(sizes: Tensor) -> Tensor:
    """Return where each of the segments that follow one another begins.

    Args:
        sizes: (S,) int64 number of rows of each segment.

    Returns:
        (S,) int64.
    """
    return torch.cumsum(sizes, 0) - sizes


def expand_runs(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Write out runs of consecutive numbers, one run after the other.

    Args:
        starts: (S,) int64 first number of each run.
        lengths: (S,) int64 length of each run.

    Returns:
        numbers (P,) and the run of each of them (P,), both int64, with P the sum of the lengths.
    """
    run = torch.repeat_interleave(lengths)
    numbers = (starts - segment_starts(lengths)).index_select(0, run)
    numbers += torch.arange(len(run), device=run.device)
    return numbers, run


def fused_key(*columns: Tensor) -> Tensor:
    """Fuse integer columns to one int64 key whose order is the lexicographic order of the rows.

    Columns whose values span too much for 62 bits are renumbered first.

    Args:
        columns: (N,) int64 each, any values.
    """
    if columns[0].numel() == 0:
        return columns[0]
    spans = [int(column.max()) - int(column.min()) + 1 for column in columns]
    if math.prod(spans) < _KEY_LIMIT:
        offsets = [column - column.min() for column in columns]
    else:
        offsets = [torch.unique(column, return_inverse=True)[1] for column in columns]
        spans = [int(offset.max()) + 1 for offset in offsets]
    key = offsets[0]
    for offset, span in zip(offsets[1:], spans[1:], strict=True):
        key = key * span + offset
    return key


def run_ids(key: Tensor) -> Tensor:
    """Number the runs of equal values of a sorted key.

    Args:
        key: (N,) sorted.

    Returns:
        (N,) int64 numbers 0, 1, 2, ... that rise by one wherever the key changes.
    """
    ids = torch.zeros(len(key), dtype=torch.int64, device=key.device)
    if len(key) > 1:
        torch.cumsum(key[1:] != key[:-1], 0, out=ids[1:])
    return ids
