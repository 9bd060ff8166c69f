"""The true instances of a batch and the pairs that the losses of SPICE run over."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlreco.models.losses.segments import expand_runs, fused_key, run_ids, segment_starts


@dataclass(frozen=True)
class Pairs:
    """Every instance paired with every voxel of its group: of the same event and semantic class.

    The pairs of an instance follow one another, and among them the members of the instance do.

    Attributes:
        row: (P,) int64 voxel of the pair, as a position in ``Instances.rows``.
        instance: (P,) int64 instance of the pair.
        start: (M,) int64 first pair of each instance.
        length: (M,) int64 pairs of each instance.
        size: (M,) int64 voxels of each instance.
        own: (n,) int64 for each voxel the pair of it and the instance it belongs to, rising.
        member: (P,) bool, whether the voxel belongs to the instance: true at ``own``.
    """

    row: Tensor
    instance: Tensor
    start: Tensor
    length: Tensor
    size: Tensor
    own: Tensor
    member: Tensor

    @property
    def count(self) -> int:
        """Number of instances M."""
        return len(self.size)


@dataclass(frozen=True)
class Instances:
    """Instances of a batch, sorted by event, semantic class and instance number.

    An instance is what shares (event, class, instance number), a group what shares (event, class).

    Attributes:
        rows: (n,) int64 input rows of the voxels that belong to an instance, sorted by instance.
        instance: (n,) int64 instance of each of them, 0 to M-1, rising.
        size: (M,) int64 voxels of each instance.
        group: (M,) int64 group of each instance, 0 to G-1, rising.
        group_class: (G,) int64 semantic class of each group.
        group_event: (G,) int64 event of each group, events with instances numbered from 0.
        group_count: (G,) int64 instances of each group.
        group_size: (G,) int64 voxels of each group.
    """

    rows: Tensor
    instance: Tensor
    size: Tensor
    group: Tensor
    group_class: Tensor
    group_event: Tensor
    group_count: Tensor
    group_size: Tensor

    @property
    def event_count(self) -> Tensor:
        """Number of events with an instance, () float32."""
        events = self.group_event
        return torch.full((), float(events[-1] + 1) if len(events) else 0.0, device=events.device)

    @classmethod
    def build(cls, batch: Tensor, semantics: Tensor, instances: Tensor, keep: Tensor, min_voxels: int = 1) -> Instances:
        """Find the instances of a batch.

        Args:
            batch: (N,) integer event of each voxel in the batch.
            semantics: (N,) integer semantic class.
            instances: (N,) integer instance number.
            keep: (N,) bool voxels to regard.
            min_voxels: instances with fewer voxels are left out with their voxels.
        """
        batch, semantics, instances = (labels.to(torch.int64) for labels in (batch, semantics, instances))
        rows = keep.nonzero().squeeze(1)
        key, order = torch.sort(fused_key(batch[rows], semantics[rows], instances[rows]), stable=True)
        rows = rows[order]
        instance = run_ids(key)
        if min_voxels > 1:
            large = (torch.bincount(instance) >= min_voxels)[instance]
            rows = rows[large]
            instance = run_ids(instance[large])
        size = torch.bincount(instance)
        heads = rows[segment_starts(size)]
        group = run_ids(fused_key(batch[heads], semantics[heads]))
        group_count = torch.bincount(group)
        group_heads = heads[segment_starts(group_count)]
        return cls(
            rows=rows,
            instance=instance,
            size=size,
            group=group,
            group_class=semantics[group_heads],
            group_event=run_ids(batch[group_heads]),
            group_count=group_count,
            group_size=torch.zeros_like(group_count).index_add(0, group, size),
        )

    @property
    def count(self) -> int:
        """Number of instances M."""
        return len(self.size)

    def group_weights(self, dtype: torch.dtype) -> Tensor:
        """Return the (G,) weights that average over the classes of an event, then over the events."""
        classes = torch.bincount(self.group_event)
        return 1.0 / (classes[self.group_event] * len(classes)).to(dtype)

    def voxel_pairs(self) -> Pairs:
        """Pair every instance with all voxels of its group: sum over groups of n_g K_g pairs."""
        length = self.group_size[self.group]
        start = segment_starts(length)
        group_start = segment_starts(self.group_size)[self.group]
        row, instance = expand_runs(group_start, length)
        own = (start - group_start).index_select(0, self.instance)
        own += torch.arange(len(own), device=own.device)
        member = torch.zeros(len(row), dtype=torch.bool, device=row.device)
        member[own] = True
        return Pairs(row, instance, start, length, self.size, own, member)

    def partners(self, across_classes: bool = False) -> Tensor:
        """Return the (M,) int64 number of other instances in the group (event) of each instance."""
        owner = self._event() if across_classes else self.group
        return torch.bincount(owner)[owner] - 1

    def instance_pairs(self, across_classes: bool = False) -> tuple[Tensor, Tensor]:
        """Pair every two instances j < i of a group.

        Args:
            across_classes: pair those of an event, whatever their classes.

        Returns:
            j and i, (Q,) int64 each, with Q the sum over groups (events) of K (K - 1) / 2.
        """
        counts, owner = self.group_count, self.group
        if across_classes:
            owner = self._event()
            counts = torch.bincount(owner)
        start = segment_starts(counts)[owner]
        earlier = torch.arange(self.count, device=start.device) - start
        return expand_runs(start, earlier)

    def _event(self) -> Tensor:
        """Return the (M,) int64 event of each instance, events with instances numbered from 0."""
        return self.group_event[self.group]
