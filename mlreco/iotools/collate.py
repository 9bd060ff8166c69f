"""Joins events to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mlreco.errors import UserError
from mlreco.graph_batch import GraphBatch, join_graphs
from mlreco.post_processing.fragment_graph import LabelledGraph
from mlreco.registry import Registry
from mlreco.voxels import EventVoxels, VoxelBatch

COLLATES = Registry(
    "collate function",
    {
        "CollateSparse": "mlreco.iotools.collate:CollateSparse",
        "CollateMinkowski": "mlreco.iotools.collate:CollateSparse",
    },
)
"""Names of the collate function in a configuration; configurations for MinkowskiEngine have the second."""

Batch = dict[str, Any]
"""``VoxelBatch``, ``GraphBatch`` or list by schema key; ``index`` (list of int), ``event_id`` (B, 3) and ``source``
(B, 2) int64."""


class CollateSparse:
    """Join the voxels of events, with the batch index as the first column, and graphs; anything else becomes a list."""

    def __call__(self, events: Sequence[dict[str, Any]]) -> Batch:
        """Return the batch of some events that have the same keys.

        Raises:
            UserError: the events have different feature columns under one key.
        """
        batch: Batch = {}
        for key in events[0]:
            blobs = [event[key] for event in events]
            if key in ("event_id", "source"):
                batch[key] = np.stack(blobs)
            elif isinstance(blobs[0], LabelledGraph):
                batch[key] = join_graphs(blobs)
            elif isinstance(blobs[0], EventVoxels):
                batch[key] = join_voxels(blobs, key)
            else:
                batch[key] = blobs
        return batch


def one_event(batch: Batch, number: int) -> Batch:
    """Return an event of a batch as a batch of its own.

    Args:
        batch: of several events, as `CollateSparse` returns it.
        number: which of them, from 0.
    """
    return {
        key: blob.event(number) if isinstance(blob, (VoxelBatch, GraphBatch)) else blob[number : number + 1]
        for key, blob in batch.items()
    }


def join_voxels(events: Sequence[EventVoxels], key: str = "voxels") -> VoxelBatch:
    """Join the voxels of events, in order; an empty event keeps its place with the count 0.

    Args:
        events: at least one.
        key: schema key, for messages.

    Raises:
        UserError: the events have different feature columns.
    """
    columns = events[0].columns
    for event in events:
        if event.columns != columns:
            raise UserError(f"schema key '{key}': events with columns {columns} and {event.columns} in one batch")
    counts = [len(event) for event in events]
    coordinates = np.empty((sum(counts), 4), dtype=np.int64)
    coordinates[:, 0] = np.repeat(np.arange(len(events)), counts)
    for axis in range(3):
        np.concatenate([event.coordinates[:, axis] for event in events], out=coordinates[:, axis + 1])
    features = np.concatenate([event.features for event in events])
    return VoxelBatch(
        torch.from_numpy(coordinates),
        torch.from_numpy(features),
        columns,
        tuple(counts),
        tuple(event.meta for event in events),
    )
