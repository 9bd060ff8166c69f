"""Second step of the greedy clusterer on a batch: every voxel gets the most probable seed of its segment."""

from __future__ import annotations

import torch
from torch import Tensor

from mlreco.post_processing.clustering.batched.seeds import Seeds, squared_distances
from mlreco.post_processing.clustering.batched.segments import Segments, runs, starts_of

BLOCK = 16
"""Seeds of a segment that a voxel is compared with at a time."""
PAIRS = 2**20
"""Pairs of a voxel and a seed that are in memory at a time."""


def assign(segments: Segments, seeds: Seeds) -> Tensor:
    """Give every voxel the seed of lowest score in its segment; of equal ones the first.

    Segments with many seeds come first, so that those that have no seed left to compare with are cut off at the end.
    Memory is of order ``PAIRS``, whatever the numbers of voxels and seeds.

    Args:
        segments: the voxels.
        seeds: their seeds.

    Returns:
        (n,) int64 number of the seed within the segment of each voxel of ``Segments``, -1 in a segment without seeds.
    """
    device = segments.rows.device
    rank = sorted(range(len(segments.sizes)), key=lambda number: -seeds.counts[number])
    starts = starts_of(segments.sizes)
    voxels = runs([starts[s] for s in rank], [segments.sizes[s] for s in rank], device)
    labels = torch.full((len(voxels),), -1, dtype=torch.int64, device=device)
    lowest = torch.full((len(voxels),), torch.inf, dtype=torch.float64, device=device)
    for first in range(0, len(seeds.positions), BLOCK):
        end = sum(segments.sizes[s] for s in rank if seeds.counts[s] > first)
        block = seeds.positions[first : first + BLOCK].T
        for begin in range(0, end, max(1, PAIRS // BLOCK)):
            chunk = slice(begin, min(end, begin + max(1, PAIRS // BLOCK)))
            score, winner = _scores(segments, voxels[chunk], block).min(dim=1)
            closer = score < lowest[chunk]
            labels[chunk] = torch.where(closer, winner + first, labels[chunk])
            lowest[chunk] = torch.where(closer, score, lowest[chunk])
    return torch.empty_like(labels).scatter_(0, voxels, labels)


def _scores(segments: Segments, voxels: Tensor, block: Tensor) -> Tensor:
    """Return the (v, B) scores of v voxels under the (S, B) seeds of their segments, infinite where there is none."""
    seed = block[segments.number[voxels]]
    present, seed = seed >= 0, seed.clamp(min=0)
    squared = squared_distances(segments.points[:, voxels, None], segments.points[:, seed])
    return torch.where(present, squared * segments.precisions[seed], torch.inf)
