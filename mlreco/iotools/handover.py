"""Sends a batch from the process that read it: through shared memory, or through a pipe where that is too small.

Containers often have 64 MB of shared memory. If torch cannot get enough of it, the error occurs in a thread of the
worker and is lost, and the batch never arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from mlreco.graph_batch import GraphBatch
from mlreco.voxels import VoxelBatch

_Blob = TypeVar("_Blob")


@dataclass(frozen=True)
class _Piped:
    """Voxels or graphs of a batch as arrays, which are sent through the pipe.

    Attributes:
        frame: the batch with arrays in the place of its tensors.
    """

    frame: Any

    def unpacked(self) -> Any:
        """Return the voxels or graphs."""
        return _changed(self.frame, np.ndarray, torch.from_numpy)

    def pin_memory(self) -> Any:
        """Return them in page-locked memory; called by the data loader."""
        return _changed(self.unpacked(), Tensor, Tensor.pin_memory)


def packed(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch ready to leave its process; in the main process as it is."""
    if get_worker_info() is None:
        return dict(batch)
    return {key: _shared(blob) if isinstance(blob, (VoxelBatch, GraphBatch)) else blob for key, blob in batch.items()}


def _shared(blob: _Blob) -> _Blob | _Piped:
    try:
        return _changed(blob, Tensor, Tensor.share_memory_)
    except (RuntimeError, OSError):
        return _Piped(_changed(blob, Tensor, Tensor.numpy))


def unpacked(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch that has arrived."""
    return {key: blob.unpacked() if isinstance(blob, _Piped) else blob for key, blob in batch.items()}


def _changed(blob: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Return a dataclass, and those in it, with another value for each field of a kind."""
    changed = {}
    for field in fields(blob):
        value = getattr(blob, field.name)
        if isinstance(value, kind):
            changed[field.name] = change(value)
        elif is_dataclass(value):
            changed[field.name] = _changed(value, kind, change)
    return replace(blob, **changed)
