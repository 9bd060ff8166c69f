"""The interface of a stage.

A stage is a torch module with three class attributes: ``requires`` and ``provides``, names of products, and ``Loss``,
the class of its loss. ``forward`` takes the products made so far and returns its own. Products known to every stage:
``image`` (SparseConvTensor; columns normalised x, y, z, charge) and, where the batch has labels, ``labels``. A stage
that needs other products depending on its configuration sets ``self.requires`` in its constructor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn

from mlreco.errors import UserError
from mlreco.models.labels import Labels

T = TypeVar("T")


class StageLoss(nn.Module):
    """Base of the losses: called with the products of the chain and the labels, returns scalars with ``loss``."""

    def forward(self, products: Mapping[str, Any], labels: Labels) -> dict[str, torch.Tensor]:
        """Return the scalar terms by name; ``loss`` is the one that is minimised.

        Terms that are means over something else than the loss come with their weights, as
        :class:`mlreco.models.loss_terms.LossTerms`.
        """
        raise NotImplementedError

    def weight(self, labels: Labels, events: torch.Tensor) -> torch.Tensor:
        """Return the weight of a batch where losses of several batches are averaged, () floating point.

        A loss is a mean; its weight is the denominator of that mean. With weights w and losses l, the loss of two
        batches taken as one is (w_1 l_1 + w_2 l_2) / (w_1 + w_2). Minibatches, and the parts of several processes, are
        combined in this way. The default is the number of events, for losses that are means over events.

        Args:
            labels: those of the batch.
            events: (N,) integer event of each voxel in the batch.
        """
        return torch.unique(events).numel() * torch.ones((), device=events.device)


@runtime_checkable
class Stage(Protocol):
    """The interface of a stage, for type checkers.

    In inference on a CPU several threads may call a stage at once, so a call must not change the stage.
    """

    requires: tuple[str, ...]
    provides: tuple[str, ...]
    Loss: type[StageLoss]
    depth: int

    def __call__(self, products: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return the products of the stage."""


@runtime_checkable
class DropsProducts(Protocol):
    """A stage with products that only post-processors use.

    Attributes:
        unwritten: their names; they are dropped before an event is written.
    """

    unwritten: tuple[str, ...]


def require(label: T | None, stage: str, what: str, source: str) -> T:
    """Return the label.

    Raises:
        UserError: the batch does not have it.
    """
    if label is None:
        raise UserError(f"{stage} needs true {what}: add a blob made by {source} to the schema and to model.loss_input")
    return label
