"""From the tensors of a batch to the arrays of single events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from mlreco.inference.true_particles import TRUE_PARTICLES, numbers_of
from mlreco.models.event_rows import EventRows
from mlreco.models.labels import Labels
from mlreco.models.layers.by_row import softmax_by_row
from mlreco.particles.truth import true_particles
from mlreco.voxels import VoxelBatch

DTYPES = {
    "fragment_classes": np.int8,
    "graph_classes": np.int8,
    "graph_links": np.float16,
    "graph_nodes": np.float16,
    "in_true_classes": np.int8,
    "truth_semantics": np.int8,
    "truth_starts": np.int8,
    "semantics": np.int8,
    "semantics_predicted": np.int8,
    "semantics_true": np.int8,
    "instances_true": np.int32,
    "interactions_true": np.int32,
}
"""Products that are stored in smaller types; all other floats are float32, other integers int32."""


def voxel_products(voxels: VoxelBatch, products: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return all products with one row a voxel of a batch, (N, ...) each, under their names in the output.

    Args:
        voxels: the network's input.
        products: what the chain returned; tensors with one row a voxel are kept, ``segmentation`` as probabilities.
    """
    found: dict[str, torch.Tensor] = {"energies": voxels.features[:, 0]}
    for name, value in products.items():
        if isinstance(value, torch.Tensor) and name != "segmentation":
            found[name] = value
    if "segmentation" in products:
        if "semantic_scores" not in found:
            found["semantic_scores"] = softmax_by_row(products["segmentation"].float())
        found["semantics_predicted"] = products["segmentation"].argmax(dim=1)
    labels: Labels = products["labels"]
    if labels.semantics is not None:
        found["semantics_true"] = labels.semantics
    if labels.instances is not None:
        found["instances_true"] = labels.instances
    if labels.interactions is not None:
        found["interactions_true"] = labels.interactions
    found = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}
    arrays = {name: tensor.to("cpu", non_blocking=True) for name, tensor in found.items()}
    for device in {tensor.device for tensor in found.values() if tensor.is_cuda}:
        torch.cuda.current_stream(device).synchronize()
    coordinates = voxels.coordinates[:, 1:].cpu().numpy().astype(np.int32)
    return {"coordinates": coordinates, **{name: _array(name, tensor) for name, tensor in arrays.items()}}


def _array(name: str, tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().astype(DTYPES.get(name, np.float32 if tensor.is_floating_point() else np.int32), copy=False)


def other_products(products: Mapping[str, Any]) -> dict[str, list[np.ndarray]]:
    """Return the products of the chain whose rows are not voxels: by name, the rows of each event."""
    found = {}
    for name, value in products.items():
        if isinstance(value, EventRows):
            rows = _array(name, (value.values.float() if value.values.is_floating_point() else value.values).cpu())
            found[name] = np.split(rows, np.cumsum(value.counts)[:-1])
    return found


def events_of(
    batch: Mapping[str, Any],
    voxels: VoxelBatch,
    arrays: Mapping[str, np.ndarray],
    others: Mapping[str, list[np.ndarray]],
) -> Iterator[dict]:
    """Yield the arrays of each event, with its identity and geometry as arrays of one row."""
    ends = np.cumsum(voxels.counts)
    for number, (count, end, meta) in enumerate(zip(voxels.counts, ends, voxels.metas, strict=True)):
        event = {name: array[end - count : end] for name, array in arrays.items()}
        event |= {name: rows[number] for name, rows in others.items()}
        event["event_id"] = np.asarray(batch["event_id"][number], np.int64).reshape(1, 3)
        event["source"] = np.asarray(batch["source"][number], np.int64).reshape(1, 2)
        event["image_shape"] = np.asarray(meta.shape, np.int64).reshape(1, 3)
        event["image_origin"] = np.asarray(meta.origin, np.float64).reshape(1, 3)
        event["voxel_size"] = np.asarray(meta.voxel_size, np.float64).reshape(1, 3)
        rows = batch.get(TRUE_PARTICLES)
        if rows is not None:
            truth = (event.get("instances_true"), event.get("semantics_true"), event["energies"])
            event["particles_true"] = true_particles(rows[number], *truth, numbers=numbers_of(rows[number]))
        yield event
