"""The minibatches of a batch as one: what each of them counts for, and their numbers put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mlreco.models.chain import Chain, ChainLoss

Shares = Mapping[str, Tensor]
"""By stage, the part of a minibatch in the batch: () floating point."""


def shares_of(parts: Sequence[Mapping[str, Any]], chain: Chain, loss: ChainLoss) -> list[Shares]:
    """Return for each minibatch how large a part of the batch it is, by stage.

    The terms of a loss are means, each over things of its own kind: events, or voxels. A minibatch has the share of
    them that it holds, so that the gradients add up to that of the whole batch.

    Args:
        parts: the minibatches.
        chain: tells their labels.
        loss: tells what its terms are means over.
    """
    weights = [loss.weights(chain.labels(part), chain.events(part)) for part in parts]
    totals = {name: sum(weight[name] for weight in weights) for name in loss.losses}
    return [{name: _divide(value, totals[name]) for name, value in weight.items()} for weight in weights]


def _divide(weight: Tensor, total: Tensor) -> Tensor:
    return weight / torch.where(total > 0, total, 1.0)


class Terms:
    """The terms of the loss of a batch from those of its minibatches.

    A term is the mean of the minibatches' weighted by their shares, without those that have no number (the accuracy of
    a class that does not occur).

    Args:
        loss: whose terms they are.
    """

    def __init__(self, loss: ChainLoss) -> None:
        self._loss = loss
        self._values: list[dict[str, Tensor]] = []
        self._shares: list[Shares | None] = []

    def add(self, terms: Mapping[str, Tensor], shares: Shares | None = None) -> None:
        """Add the terms of a minibatch, with its shares; without them it is the whole batch."""
        self._values.append({name: value.detach().double() for name, value in terms.items()})
        self._shares.append(shares)

    def numbers(self) -> dict[str, float]:
        """Return the terms of the batch, fetched from their device at once."""
        if len(self._values) == 1 and self._shares[0] is None:
            names = list(self._values[0])
            return dict(zip(names, torch.stack(list(self._values[0].values())).tolist(), strict=True))
        names = [name for name in self._values[0] if name != "loss"]
        values = torch.stack([torch.stack([value[name] for name in names]) for value in self._values])
        shares = torch.stack([torch.stack([share[self._stage(name)] for name in names]) for share in self._shares])
        known = ~values.isnan()
        sums = torch.where(known, values * shares, 0.0).sum(0)
        norms = torch.where(known, shares, 0.0).sum(0)
        means = torch.where(norms > 0, sums / norms, values[0])
        numbers = dict(zip(names, means.tolist(), strict=True))
        total = sum(factor * numbers[f"{name}_loss"] for name, factor in self._loss.factors.items())
        return {"loss": total, **numbers}

    def _stage(self, term: str) -> str:
        return max((name for name in self._loss.losses if term.startswith(f"{name}_")), key=len)
