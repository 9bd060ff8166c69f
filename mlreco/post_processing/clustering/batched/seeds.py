"""First step of the greedy clusterer on a batch: every segment takes a seed at the same time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlreco.devices import upload
from mlreco.post_processing.clustering.batched.segments import Segments, runs, starts_of

STEPS = (4, 8, 16, 32)
"""Seeds that every segment takes before the host looks at how many voxels are left; the last number is repeated."""


@dataclass(frozen=True)
class Seeds:
    """The seeds of each segment.

    Attributes:
        positions: (K, S) int64, position in ``Segments`` of the k-th seed of each segment, -1 beyond the last.
        counts: number of seeds of each segment.
    """

    positions: Tensor
    counts: list[int]


@dataclass(frozen=True)
class _Left:
    """Voxels that may still become seeds, after a placeholder at the front that never does.

    Attributes:
        position: (1 + n,) int64 in ``Segments``.
        number: (1 + n,) int64 segment.
        points: (D, 1 + n) float64.
        precisions: (1 + n,) float64.
        highest: (1 + n,) float64, score below which a voxel joins a seed.
        ends: (2, S) int64, the place before the first voxel of each segment and that of its last.
        free: (1 + n,) bool, not taken yet; changed in place.
    """

    position: Tensor
    number: Tensor
    points: Tensor
    precisions: Tensor
    highest: Tensor
    ends: Tensor
    free: Tensor

    @classmethod
    def of(cls, segments: Segments, highest: Tensor, position: Tensor) -> _Left:
        number = segments.number[position]
        places = torch.searchsorted(number, torch.arange(len(segments.sizes) + 1, device=number.device))
        position, number = torch.cat([position[:1], position]), torch.cat([number[:1], number])
        free = torch.ones_like(number, dtype=torch.bool)
        free[:1] = False
        points, precisions = segments.points[:, position], segments.precisions[position]
        ends = torch.stack([places[:-1], places[1:]])
        return cls(position, number, points, precisions, highest[number], ends, free)

    def still_free(self, count: int) -> Tensor:
        """Return the positions of the free voxels; the host already knows their number, so it does not wait."""
        place = torch.where(self.free, self.free.cumsum(0) - 1, count)
        return self.position.new_empty(count + 1).scatter_(0, place, self.position)[:count]


def find_seeds(segments: Segments, highest_scores: Sequence[float]) -> Seeds:
    """Let every segment take its best free voxel as a seed, and all that are near enough to it, and so on.

    The number of steps is the largest number of seeds of a segment, not the sum. The host waits for the device once
    for every few steps.

    Args:
        segments: the voxels.
        highest_scores: ``-ln p0`` of each segment; a voxel joins a seed where its score is below.
    """
    device = segments.rows.device
    highest = upload(torch.tensor(list(highest_scores), dtype=torch.float64), device)
    left = _Left.of(segments, highest, runs(starts_of(segments.sizes), segments.seedable, device))
    taken: list[Tensor] = []
    counts, look, free = [0] * len(segments.sizes), 0, sum(segments.seedable)
    while free:
        taken += [_take_seeds(left) for _ in range(STEPS[min(look, len(STEPS) - 1)])]
        look += 1
        found = torch.stack(taken) >= 0
        *counts, free = torch.cat([found.sum(0), left.free.sum().reshape(1)]).tolist()
        left = _Left.of(segments, highest, left.still_free(free))
    return Seeds(torch.stack(taken) if taken else left.position.new_empty(0, len(counts)), counts)


def _take_seeds(left: _Left) -> Tensor:
    """Take a seed in each segment and the voxels that join it; return its (S,) positions, -1 where none is free."""
    counted = left.free.cumsum(0)
    before, after = counted[left.ends]
    seed = torch.searchsorted(counted, before + 1).clamp_(max=len(counted) - 1)
    scores = squared_distances(left.points, left.points[:, seed][:, left.number]) * left.precisions[seed][left.number]
    left.free.logical_and_(scores >= left.highest)
    return torch.where(after > before, left.position[seed], -1)


def squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """Return the squared distances between points and centres, summed axis after axis as in ``box_tree``.

    Product and sum are separate operations, each rounded: the bits are those of the other engine on any device.

    Args:
        points: (D, ...) float64.
        centres: (D, ...) float64 that broadcasts with it.
    """
    difference = points - centres
    squares = difference.mul_(difference).unbind()
    return functools.reduce(torch.add, squares) if squares else points.new_zeros(difference.shape[1:])
