"""Copies batches to devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from mlreco.graph_batch import GraphBatch, GraphTruth
from mlreco.models.labels import Labels
from mlreco.voxels import VoxelBatch


def to_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the batch with its voxels, graphs and labels on the device; everything else stays as it is.

    Copies from page-locked memory do not wait for the device.
    """
    return {
        name: blob.to(device, non_blocking=True) if isinstance(blob, (VoxelBatch, GraphBatch, Labels)) else blob
        for name, blob in batch.items()
    }


@dataclass(frozen=True)
class BatchOnItsWay:
    """A batch that is being copied to a device.

    Attributes:
        host: the batch where it was read.
        seconds: time that its reading took.
        copies: its copy on the device, not to be used before ``arrived``.
        done: event that the device records when the copy is complete; None where there is nothing to wait for.
    """

    host: Mapping[str, Any]
    seconds: float
    copies: dict[str, Any]
    done: torch.cuda.Event | None = None

    def arrived(self) -> dict[str, Any]:
        """Return the batch on the device; work queued from now on waits for the copy, the host does not."""
        if self.done is not None:
            for blob in self.copies.values():
                for tensor in tensors_of(blob):
                    stream = torch.cuda.current_stream(tensor.device)
                    stream.wait_event(self.done)
                    tensor.record_stream(stream)
        return self.copies


def tensors_of(blob: Any) -> list[torch.Tensor]:
    """Return the tensors of what :func:`to_device` moves; none of anything else."""
    if not isinstance(blob, (VoxelBatch, GraphBatch, GraphTruth, Labels)):
        return []
    values = [getattr(blob, field.name) for field in fields(blob)]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    return tensors + [tensor for value in values for tensor in tensors_of(value)]


def send(batches: Iterable[tuple[Mapping[str, Any], float]], device: torch.device) -> Iterator[BatchOnItsWay]:
    """Send batches to a device as they come; on CUDA beside the work on earlier ones, on a stream of their own.

    Args:
        batches: batches with the seconds that their reading took. They should be page-locked, otherwise the host waits
            for the copy.
        device: the target.
    """
    if device.type != "cuda":
        for batch, seconds in batches:
            yield BatchOnItsWay(batch, seconds, to_device(batch, device))
        return
    stream = torch.cuda.Stream(device)
    for batch, seconds in batches:
        with torch.cuda.stream(stream):
            copies = to_device(batch, device)
            done = torch.cuda.Event()
            done.record(stream)
        yield BatchOnItsWay(batch, seconds, copies, done)
