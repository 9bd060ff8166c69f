"""How a batch comes from the process that read it: through shared memory, or through a pipe where there is too little.

Containers often have 64 MB of shared memory. Where torch cannot get enough of it, it says so in a thread of the worker
whose error nobody hears, and the batch never arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from mlreco.voxels import VoxelBatch


@dataclass(frozen=True)
class _Piped:
    """A batch of voxels whose numbers are sent as they are.

    Attributes:
        coordinates: as in ``VoxelBatch``.
        features: as in ``VoxelBatch``.
        frame: the batch without its numbers.
    """

    coordinates: np.ndarray
    features: np.ndarray
    frame: VoxelBatch

    def unpacked(self) -> VoxelBatch:
        """Return the batch of voxels."""
        tensors = torch.from_numpy(self.coordinates), torch.from_numpy(self.features)
        return replace(self.frame, coordinates=tensors[0], features=tensors[1])

    def pin_memory(self) -> VoxelBatch:
        """Return the batch in page-locked memory; called by the data loader."""
        return self.unpacked().pin_memory()


def packed(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch ready to leave its process; in the main process as it is."""
    if get_worker_info() is None:
        return dict(batch)
    return {key: _shared(blob) if isinstance(blob, VoxelBatch) else blob for key, blob in batch.items()}


def _shared(voxels: VoxelBatch) -> VoxelBatch | _Piped:
    try:
        voxels.coordinates.share_memory_()
        voxels.features.share_memory_()
    except (RuntimeError, OSError):
        none = torch.empty(0)
        frame = replace(voxels, coordinates=none, features=none)
        return _Piped(voxels.coordinates.numpy(), voxels.features.numpy(), frame)
    return voxels


def unpacked(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch that has arrived."""
    return {key: blob.unpacked() if isinstance(blob, _Piped) else blob for key, blob in batch.items()}
