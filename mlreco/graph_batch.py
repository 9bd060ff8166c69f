"""The fragment graphs of a batch of events as one graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch

from mlreco.post_processing.fragment_graph import FragmentTruth, LabelledGraph


@dataclass(frozen=True)
class GraphTruth:
    """The truth of the fragments of a batch, -1 where unknown.

    Attributes:
        instances: (F,) int64, unique over the events.
        semantics: (F,) int64.
        interactions: (F,) int64, unique over the events.
        purities: (F,) float32.
        starts: (F,) int64.
    """

    instances: torch.Tensor
    semantics: torch.Tensor
    interactions: torch.Tensor
    purities: torch.Tensor
    starts: torch.Tensor


@dataclass(frozen=True)
class GraphBatch:
    """Fragments and pairs of several events, event after event.

    Attributes:
        nodes: (F, ...) float32 features of the fragments.
        edges: (E, 2) int64 rows of ``nodes``.
        links: (E, ...) float32 features of the pairs.
        classes: (F,) int64 class in which each fragment was made.
        sizes: (F,) int64 voxels.
        node_counts: fragments of each event.
        edge_counts: pairs of each event.
        truth: labels, None where there are none.
    """

    nodes: torch.Tensor
    edges: torch.Tensor
    links: torch.Tensor
    classes: torch.Tensor
    sizes: torch.Tensor
    node_counts: tuple[int, ...]
    edge_counts: tuple[int, ...]
    truth: GraphTruth | None = None

    def __len__(self) -> int:
        return len(self.nodes)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> GraphBatch:
        """Return the batch on another device."""
        truth = self.truth and _on(self.truth, device, non_blocking)
        return replace(_on(self, device, non_blocking), truth=truth)

    def event(self, number: int) -> GraphBatch:
        """Return the graph of one event as a batch of its own; the numbers of true instances stay as they are."""
        nodes, edges = (_rows(counts, number) for counts in (self.node_counts, self.edge_counts))
        truth = self.truth and GraphTruth(*(getattr(self.truth, field.name)[nodes] for field in fields(GraphTruth)))
        return GraphBatch(
            self.nodes[nodes],
            self.edges[edges] - nodes.start,
            self.links[edges],
            self.classes[nodes],
            self.sizes[nodes],
            (self.node_counts[number],),
            (self.edge_counts[number],),
            truth,
        )

    def event_of_nodes(self) -> torch.Tensor:
        """Return (F,) int64, the event of each fragment."""
        return _per_row(torch.arange(len(self.node_counts)), self.node_counts).to(self.nodes.device)

    def event_of_edges(self) -> torch.Tensor:
        """Return (E,) int64, the event of each pair."""
        return _per_row(torch.arange(len(self.edge_counts)), self.edge_counts).to(self.nodes.device)

    def local_edges(self) -> torch.Tensor:
        """Return (E, 2) edges in fragment numbers of their own event."""
        return self.edges - _per_row(_offsets(self.node_counts), self.edge_counts).to(self.edges.device)[:, None]


T = TypeVar("T", GraphTruth, GraphBatch)


def _on(batch: T, device: torch.device | str, non_blocking: bool) -> T:
    tensors = {f.name: getattr(batch, f.name) for f in fields(batch)}
    moved: dict[str, Any] = {
        name: value.to(device, non_blocking=non_blocking)
        for name, value in tensors.items()
        if isinstance(value, torch.Tensor)
    }
    return replace(batch, **moved)


def join_graphs(graphs: Sequence[LabelledGraph]) -> GraphBatch:
    """Join the graphs of events, in order; one without fragments keeps its place.

    Args:
        graphs: at least one; truth is kept where all have it.
    """
    parts = [one.graph for one in graphs]
    node_counts, edge_counts = tuple(len(g.nodes) for g in parts), tuple(len(g.edges) for g in parts)
    edges = np.concatenate([g.edges for g in parts]).astype(np.int64)
    truths = [one.truth for one in graphs if one.truth is not None]
    return GraphBatch(
        torch.from_numpy(np.concatenate([g.nodes for g in parts])),
        torch.from_numpy(edges) + _per_row(_offsets(node_counts), edge_counts)[:, None],
        torch.from_numpy(np.concatenate([g.links for g in parts])),
        torch.from_numpy(np.concatenate([g.classes for g in parts]).astype(np.int64)),
        torch.from_numpy(np.concatenate([g.sizes for g in parts]).astype(np.int64)),
        node_counts,
        edge_counts,
        _join_truths(truths) if len(truths) == len(parts) else None,
    )


def _join_truths(truths: Sequence[FragmentTruth]) -> GraphTruth:
    def unique(name: str) -> torch.Tensor:
        joined, used = [], 0
        for truth in truths:
            numbers = getattr(truth, name).astype(np.int64)
            joined.append(np.where(numbers < 0, -1, numbers + used))
            used += int(numbers.max(initial=-1)) + 1
        return torch.from_numpy(np.concatenate(joined))

    def plain(name: str, dtype: type) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([getattr(truth, name) for truth in truths]).astype(dtype))

    return GraphTruth(
        unique("instances"),
        plain("semantics", np.int64),
        unique("interactions"),
        plain("purities", np.float32),
        plain("starts", np.int64),
    )


def _rows(counts: Sequence[int], number: int) -> slice:
    first = sum(counts[:number])
    return slice(first, first + counts[number])


def _offsets(counts: Sequence[int]) -> torch.Tensor:
    return torch.tensor([0, *counts[:-1]]).cumsum(0)


def _per_row(values: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    return values.repeat_interleave(torch.tensor(counts))
