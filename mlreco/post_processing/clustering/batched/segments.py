"""Voxels of a batch by segment: the voxels of one class of one event, which are clustered together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlreco.devices import upload
from mlreco.post_processing.clustering.embedded_voxels import LARGEST, SMALLEST_MARGIN


@dataclass(frozen=True)
class Segments:
    """Voxels sorted by segment, within it by falling seediness, then by row.

    Attributes:
        rows: (n,) int64, row of the input of each voxel; voxels without a segment are left out.
        number: (n,) int64, segment of each voxel, rising.
        points: (D, n) float64 embeddings.
        precisions: (n,) float64, ``1 / (2 sigma^2)``.
        sizes: voxels of each segment.
        seedable: leading voxels of each segment that may become seeds.
        faults: how many values of the input no clusterer takes.
    """

    rows: Tensor
    number: Tensor
    points: Tensor
    precisions: Tensor
    sizes: list[int]
    seedable: list[int]
    faults: int

    @classmethod
    def build(
        cls,
        segment: Tensor,
        count: int,
        faults: Tensor,
        embeddings: Tensor,
        margins: Tensor,
        seediness: Tensor,
        lowest_seediness: Sequence[float],
        best_always_seeds: bool,
    ) -> Segments:
        """Sort the voxels of a batch; the host waits for the device once.

        Args:
            segment: (N,) int64 in [0, count], ``count`` for voxels that are not clustered.
            count: number of segments S.
            faults: () int64, those found before.
            embeddings: (N, D) floats.
            margins: (N,) floats, those below the smallest normal float32 count as that.
            seediness: (N,) floats.
            lowest_seediness: s0 of each segment.
            best_always_seeds: whether the best voxel of a segment may be a seed below s0.
        """
        values = seediness.double() + 0.0  # turns -0.0 into 0.0, which a sort may tell apart
        falling = values.sort(descending=True, stable=True).indices
        number, order = segment[falling].sort(stable=True)
        rows, values = falling[order], values[falling[order]]
        sizes = torch.zeros(count + 1, dtype=torch.int64, device=segment.device)
        sizes.index_add_(0, number, torch.ones_like(number))
        limits = upload(torch.tensor([*lowest_seediness, torch.inf], dtype=torch.float64), segment.device)
        seedable = torch.zeros_like(sizes).index_add_(0, number, (values >= limits[number]).long())
        if best_always_seeds:
            seedable = torch.maximum(seedable, sizes.clamp(max=1))
        faults = faults + (margins < 0).sum() + sum(_beyond(values) for values in (embeddings, margins, seediness))
        told = torch.cat([sizes[:-1], seedable[:-1], faults.reshape(1)]).tolist()
        kept = sum(told[:count])
        widths = margins.double()[rows[:kept]].clamp(min=SMALLEST_MARGIN)
        return cls(
            rows=rows[:kept],
            number=number[:kept],
            points=embeddings.double()[rows[:kept]].T.contiguous(),
            precisions=0.5 / (widths * widths),
            sizes=told[:count],
            seedable=told[count:-1],
            faults=told[-1],
        )


def _beyond(values: Tensor) -> Tensor:
    return (~(values.abs() <= LARGEST)).sum()


def runs(starts: Sequence[int], lengths: Sequence[int], device: torch.device) -> Tensor:
    """Return the positions of several runs, one run after the other, int64.

    Args:
        starts: first position of each run.
        lengths: positions of each run.
        device: of the result.
    """
    first, length = upload(torch.tensor([list(starts), list(lengths)], dtype=torch.int64), device)
    total = sum(lengths)
    shift = first - (length.cumsum(0) - length)
    return torch.arange(total, device=device) + shift.repeat_interleave(length, output_size=total)


def starts_of(sizes: Sequence[int]) -> list[int]:
    """Return the first position of each of several adjacent runs."""
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += size
    return starts
