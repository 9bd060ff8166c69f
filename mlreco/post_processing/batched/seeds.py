"""First step of the greedy clusterer on a batch: every segment takes a seed at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlreco.devices import upload
from mlreco.post_processing.batched.segments import Segments, runs, starts_of

STEPS = (4, 8, 16, 32)
"""Seeds that every segment takes between two looks at what is left; the last number holds for ever."""


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
    """Voxels that may still become seeds.

    Attributes:
        position: (n,) int64 in ``Segments``.
        number: (n,) int64 segment.
        points: (D, n) float64.
        precisions: (n,) float64.
        ends: (S + 1,) int64, where each segment begins and the last ends.
        free: (n,) bool, not taken yet; changed in place.
    """

    position: Tensor
    number: Tensor
    points: Tensor
    precisions: Tensor
    ends: Tensor
    free: Tensor

    @classmethod
    def of(cls, segments: Segments, position: Tensor) -> _Left:
        number = segments.number[position]
        ends = torch.searchsorted(number, torch.arange(len(segments.sizes) + 1, device=number.device))
        free = torch.ones_like(number, dtype=torch.bool)
        return cls(position, number, segments.points[:, position], segments.precisions[position], ends, free)

    def still_free(self, count: int) -> Tensor:
        """Return the positions of the free voxels, whose number the host knows."""
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
    left = _Left.of(segments, runs(starts_of(segments.sizes), segments.seedable, device))
    taken: list[Tensor] = []
    counts, look, free = [0] * len(segments.sizes), 0, len(left.position)
    while free:
        taken += [_take_seeds(left, highest) for _ in range(STEPS[min(look, len(STEPS) - 1)])]
        look += 1
        found = torch.stack(taken) >= 0
        *counts, free = torch.cat([found.sum(0), left.free.sum().reshape(1)]).tolist()
        left = _Left.of(segments, left.still_free(free))
    return Seeds(torch.stack(taken) if taken else left.position.new_empty(0, len(counts)), counts)


def _take_seeds(left: _Left, highest: Tensor) -> Tensor:
    """Take one seed a segment and what joins it; return (S,) their positions, -1 where nothing is free."""
    counted = torch.cat([left.position.new_zeros(1), left.free.cumsum(0)])
    before, after = counted[left.ends[:-1]], counted[left.ends[1:]]
    seed = torch.searchsorted(counted, before + 1).sub_(1).clamp_(max=len(left.position) - 1)
    scores = squared_distances(left.points, left.points[:, seed][:, left.number]) * left.precisions[seed][left.number]
    left.free.logical_and_(scores >= highest[left.number])
    return torch.where(after > before, left.position[seed], -1)


def squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """Return the squared distances between points and centres, axis after axis as in ``box_tree.leaf_distances``.

    Product and sum are separate operations, each rounded: the bits are those of the other engine on any device.

    Args:
        points: (D, ...) float64.
        centres: (D, ...) float64 that broadcasts with it.
    """
    squared = points.new_zeros(torch.broadcast_shapes(points.shape, centres.shape)[1:])
    for axis in range(len(points)):
        difference = points[axis] - centres[axis]
        squared += difference * difference
    return squared
