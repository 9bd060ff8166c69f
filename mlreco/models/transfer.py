"""Batches between devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mlreco.voxels import VoxelBatch


def to_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the batch with its voxels on the device; everything else stays as it is.

    Copies from page-locked memory do not wait for the device.
    """
    return {
        name: blob.to(device, non_blocking=True) if isinstance(blob, VoxelBatch) else blob
        for name, blob in batch.items()
    }
