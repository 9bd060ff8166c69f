"""The minibatches of a batch: the weight of each, and their loss terms combined to those of the batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mlreco.models.chain import Chain, ChainLoss

Shares = Mapping[str, Tensor]
"""Stage -> weight of a minibatch in its batch, () floating point; over the minibatches of a batch they add up to 1."""


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def shares_of(
    parts: Sequence[Mapping[str, Any]], chain: Chain, loss: ChainLoss, total: Callable[[Tensor], Tensor] = _as_it_is
) -> list[Shares]:
    """Return the weight of each minibatch in its batch, by stage.

    The terms of a loss are means over events or over voxels, depending on the stage. A minibatch gets the fraction of
    these events or voxels that it holds, so that the gradients add up to the gradient of the whole batch.

    Args:
        parts: the minibatches that are here.
        chain: tells their labels.
        loss: tells what its terms are means over.
        total: adds up a tensor over the processes that have parts of the batch.

    Returns:
        as many as there are parts; one of zeros where there is none.
    """
    none = [{name: torch.zeros(()) for name in loss.losses}]
    weights = [loss.weights(chain.labels(part), chain.events(part)) for part in parts] or none
    table = torch.stack([torch.stack([weight[name].double() for name in loss.losses]) for weight in weights])
    totals = total(table.sum(0))
    shares = (table / torch.where(totals > 0, totals, 1.0)).float()
    return [dict(zip(loss.losses, row, strict=True)) for row in shares]


class Terms:
    """The terms of the loss of a batch from those of its minibatches.

    A term of the batch is the mean over its minibatches, weighted by their shares. Minibatches where the term is NaN
    (the accuracy of a class that does not occur) do not count.

    Args:
        loss: whose terms they are.
    """

    def __init__(self, loss: ChainLoss) -> None:
        self._loss = loss
        self._values: list[dict[str, Tensor]] = []
        self._shares: list[Shares] = []
        self._is_whole = False

    def add(self, terms: Mapping[str, Tensor], shares: Shares | None = None) -> None:
        """Add the terms of a minibatch, with its shares; without them it is the whole batch."""
        self._values.append({name: value.detach().double() for name, value in terms.items()})
        if shares is None:
            self._is_whole = True
        else:
            self._shares.append(shares)

    def names(self) -> tuple[str, ...]:
        """Return the names of the terms; none without a minibatch."""
        return tuple(self._values[0]) if self._values else ()

    def numbers(self, names: Sequence[str] = (), total: Callable[[Tensor], Tensor] = _as_it_is) -> dict[str, float]:
        """Return the terms of the batch, fetched from their device at once.

        Args:
            names: of the terms, where there may be no minibatch here.
            total: adds up a tensor over the processes that have parts of the batch.
        """
        if len(self._values) == 1 and self._is_whole:
            names = list(self._values[0])
            return dict(zip(names, torch.stack(list(self._values[0].values())).tolist(), strict=True))
        names = [name for name in self.names() or names if name != "loss"]
        sums, norms = self._sums(names)
        sums, norms = total(torch.stack([sums, norms]))
        numbers = dict(zip(names, torch.where(norms > 0, sums / norms, math.nan).tolist(), strict=True))
        losses = {name: 0.0 if math.isnan(value := numbers[f"{name}_loss"]) else value for name in self._loss.factors}
        return {"loss": sum(factor * losses[name] for name, factor in self._loss.factors.items()), **numbers}

    def _sums(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the sums of the terms times their shares, and of the shares, each over the terms that are numbers."""
        if not self._values:
            return torch.zeros(len(names), dtype=torch.float64), torch.zeros(len(names), dtype=torch.float64)
        values = torch.stack([torch.stack([value[name] for name in names]) for value in self._values])
        shares = torch.stack([torch.stack([share[self._stage(name)] for name in names]) for share in self._shares])
        known = ~values.isnan()
        shares = shares.to(values)
        return torch.where(known, values * shares, 0.0).sum(0), torch.where(known, shares, 0.0).sum(0)

    def _stage(self, term: str) -> str:
        return max((name for name in self._loss.losses if term.startswith(f"{name}_")), key=len)
