"""Images of any number of voxels, made of the shipped events."""

from __future__ import annotations

import itertools
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from mlreco.iotools import LArCVDataset

SAMPLE = Path(__file__).resolve().parents[1] / "config" / "sample"
EDGE = 512
"""Voxels of an image along each axis."""
_SCHEMA = {"voxels": {"parser": "parse_sparse3d", "args": {"sparse_event_list": ["sparse3d_pcluster"]}}}


@lru_cache
def _events() -> tuple[np.ndarray, ...]:
    """Return the voxels of the shipped events with smeared charge, (N, 3) each, the largest first."""
    dataset = LArCVDataset([SAMPLE / "fat_sample.h5"], _SCHEMA)
    found = [dataset[index]["voxels"].coordinates.astype(np.int64) for index in range(len(dataset))]
    dataset.close()
    return tuple(sorted(found, key=len, reverse=True))


def voxels(count: int) -> torch.Tensor:
    """Return an image of that many voxels: a part of an event, or several events on top of each other.

    Events are mirrored and their axes exchanged before they are laid over one another; whole planes of x are cut off
    to come to the number wanted.

    Returns:
        (count, 4) int64, batch index 0, x, y, z, sorted, without duplicates.

    Raises:
        ValueError: more voxels than there are ways to lay the events.
    """
    numbers = np.empty(0, np.int64)
    ways = itertools.product(itertools.product((False, True), repeat=3), itertools.permutations(range(3)), _events())
    for mirrored, axes, event in ways:
        if len(numbers) >= count:
            break
        turned = np.where(mirrored, EDGE - 1 - event, event)[:, axes]
        numbers = np.union1d(numbers, np.ravel_multi_index(turned.T, (EDGE,) * 3))
    if len(numbers) < count:
        raise ValueError(f"images of at most {len(numbers)} voxels can be made, not of {count}")
    x, y, z = np.unravel_index(numbers[:count], (EDGE,) * 3)
    return torch.from_numpy(np.stack([np.zeros_like(x), x, y, z], axis=1))


def features(count: int) -> torch.Tensor:
    """Return (count, 4) float32 normal numbers, the same ones at every call."""
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
