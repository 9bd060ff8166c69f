"""Post-processing of a whole batch on the device of the network, before its output is copied to the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from mlreco.errors import UserError
from mlreco.semantics import ClassScheme


@runtime_checkable
class BatchProcessor(Protocol):
    """A post-processor that also takes the tensors of a batch."""

    requires: tuple[str, ...]
    provides: tuple[str, ...]

    def takes_batch_on(self, device: torch.device) -> bool:
        """Tell whether a batch on that device is to be processed there."""

    def process_batch(
        self, products: Mapping[str, torch.Tensor], events: torch.Tensor, event_count: int, scheme: ClassScheme
    ) -> dict[str, torch.Tensor]:
        """Return the products to add, one row a voxel."""


def process_batch(
    processors: Sequence[Any], products: Mapping[str, Any], event_count: int, scheme: ClassScheme
) -> dict[str, torch.Tensor]:
    """Run the leading post-processors that accept the batch on its device, and return the products they add.

    A post-processor that raises here adds nothing. It runs again for each event on the host, where its error names
    the event.

    Args:
        processors: all post-processors in their order.
        products: what the chain returned, ``image`` among it.
        event_count: number of events, empty ones included.
        scheme: the classes.
    """
    indices = products["image"].indices
    added: dict[str, torch.Tensor] = {}
    for processor in processors:
        known = {**products, **added}
        ready = isinstance(processor, BatchProcessor) and processor.takes_batch_on(indices.device)
        if not ready or not all(isinstance(known.get(name), torch.Tensor) for name in processor.requires):
            break
        try:
            added |= processor.process_batch(known, indices[:, 0], event_count, scheme)
        except UserError:
            break
    return added


def remaining(processors: Sequence[Any], event: Mapping[str, Any]) -> list[Any]:
    """Return the post-processors that did not already process the event as a part of its batch."""
    return [p for p in processors if not (isinstance(p, BatchProcessor) and event.keys() >= set(p.provides))]
