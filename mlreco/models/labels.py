"""True classes and instances on the rows of the network's input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch

from mlreco.errors import UserError
from mlreco.semantics import UNKNOWN
from mlreco.voxels import VoxelBatch


@dataclass(frozen=True)
class Labels:
    """The labels of the input voxels; None where the batch does not have them.

    Attributes:
        semantics: (N,) int64 true class, UNKNOWN where none is given.
        instances: (N,) int64 true instance within the event, UNKNOWN where none is given.
        interactions: (N,) int64 true interaction within the event, UNKNOWN where none is given.
        first_steps: for each event (P, 3) float64, where each true instance left its first energy, in voxels.
    """

    semantics: torch.Tensor | None = None
    instances: torch.Tensor | None = None
    interactions: torch.Tensor | None = None
    first_steps: tuple[np.ndarray, ...] | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Labels:
        """Return the labels on another device."""

        def moved(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=non_blocking)

        return Labels(moved(self.semantics), moved(self.instances), moved(self.interactions), self.first_steps)


def rows_of(voxels: VoxelBatch, table: VoxelBatch) -> torch.Tensor:
    """Return the row of ``table`` that holds each voxel of ``voxels``, -1 where it has none.

    Voxels are matched by event and coordinates, whatever the order of either side. On a CUDA device the host does not
    wait for the answer.

    Returns:
        (N,) int64.
    """
    if not voxels.coordinates.is_cuda and torch.equal(voxels.coordinates, table.coordinates):
        return torch.arange(len(voxels), device=voxels.coordinates.device)
    shape = [max(a, b) for a, b in zip(voxels.spatial_shape, table.spatial_shape, strict=True)]
    wanted, present = _site_numbers(voxels.coordinates, shape), _site_numbers(table.coordinates, shape)
    present, order = present.sort()
    position = torch.searchsorted(present, wanted).clamp(max=max(len(present) - 1, 0))
    if not len(present):
        return torch.full_like(wanted, -1)
    return torch.where(present[position] == wanted, order[position], -1)


def _site_numbers(coordinates: torch.Tensor, shape: list[int]) -> torch.Tensor:
    batch, x, y, z = coordinates.unbind(1)
    return ((batch * shape[0] + x) * shape[1] + y) * shape[2] + z


def _take(column: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    if not len(column):
        return torch.full_like(rows, UNKNOWN)
    return torch.where(rows < 0, UNKNOWN, column.to(torch.int64)[rows.clamp(min=0)])


def labels_from(batch: Mapping[str, object], voxels: VoxelBatch, names: Iterable[str]) -> Labels:
    """Return the labels found in the blobs of those names.

    A blob with a ``cluster`` column has instances (and interactions, in the column of that name); one without has
    classes as its only feature. Where there is no blob of the second kind, the classes are the ``semantic`` column of
    the first. A blob of particle tables with positions in voxels has the beginning of each instance.

    Args:
        batch: the blobs of a batch by name.
        voxels: the network's input.
        names: names of label blobs (``model.loss_input``); names that the batch does not have are ignored.

    Raises:
        UserError: a blob is of none of these kinds.
    """
    semantics = instances = interactions = fallback = first_steps = None
    for name in names:
        table = batch.get(name)
        if table is None:
            continue
        if _are_particles(table):
            first_steps = tuple(np.stack([p["first_step"][axis] for axis in "xyz"], axis=1) for p in table)
            continue
        if not isinstance(table, VoxelBatch):
            raise UserError(
                f"model.loss_input '{name}' holds no voxels; use parse_sparse3d or parse_cluster3d_clean_full"
            )
        rows = rows_of(voxels, table)
        if "cluster" in table.columns:
            instances = _take(table.column("cluster"), rows)
            interactions = _take(table.column("interaction"), rows) if "interaction" in table.columns else None
            fallback = _take(table.column("semantic"), rows) if "semantic" in table.columns else None
        elif len(table.columns) == 1:
            semantics = _take(table.features[:, 0], rows)
        else:
            raise UserError(f"model.loss_input '{name}' has {len(table.columns)} features where a class is expected")
    return Labels(fallback if semantics is None else semantics, instances, interactions, first_steps)


def _are_particles(blob: object) -> TypeGuard[list[np.ndarray]]:
    return isinstance(blob, list) and all(
        isinstance(table, np.ndarray) and "first_step" in (table.dtype.names or ()) for table in blob
    )
