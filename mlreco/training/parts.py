"""The minibatches of a batch: their weights, and the loss terms of the batch from theirs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mlreco.models.chain import Chain, ChainLoss
from mlreco.models.loss_terms import LossTerms

Shares = Mapping[str, Tensor]
"""Stage -> weight of a minibatch in its batch, () floating point; over the minibatches of a batch they add up to 1."""


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def shares_of(
    parts: Sequence[Mapping[str, Any]], chain: Chain, loss: ChainLoss, total: Callable[[Tensor], Tensor] = _as_it_is
) -> list[Shares]:
    """Return the weight of each minibatch in its batch, by stage.

    A loss is a mean over events or over voxels, depending on the stage. A minibatch gets the fraction of these events
    or voxels that it holds, so that the gradients add up to the gradient of the whole batch. Where the batch has none,
    all its minibatches have the same weight.

    Args:
        parts: the minibatches that are here.
        chain: tells their labels.
        loss: tells what the losses of its stages are means over.
        total: adds up a tensor over the processes that have parts of the batch.

    Returns:
        as many as there are parts.
    """
    table = torch.zeros(len(parts), len(loss.losses) + 1, dtype=torch.float64)
    table[:, -1] = 1.0
    for row, part in zip(table, parts, strict=True):
        weights = loss.weights(chain.labels(part), chain.events(part))
        row[:-1] = torch.stack([weights[name].double() for name in loss.losses])
    totals = total(table.sum(0))
    shares = torch.where(totals > 0, table / torch.where(totals > 0, totals, 1.0), 1.0 / totals[-1]).float()
    return [dict(zip(loss.losses, row[:-1], strict=True)) for row in shares]


class Terms:
    """The terms of the loss of a batch from those of its minibatches.

    A term of the batch is the mean over its minibatches, with the weights that the loss gives (`LossTerms`), and else
    with the shares. Minibatches where a term is NaN (the accuracy of a class that does not occur) do not count; but the
    loss of a stage that is NaN in one of them is NaN.

    Args:
        loss: whose terms they are.
    """

    def __init__(self, loss: ChainLoss) -> None:
        self._loss = loss
        self._values: list[dict[str, Tensor]] = []
        self._weights: list[dict[str, Tensor]] = []
        self._is_whole = False

    def add(self, terms: Mapping[str, Tensor], shares: Shares | None = None) -> None:
        """Add the terms of a minibatch, with its shares; without them it is the whole batch."""
        self._is_whole = shares is None
        one = torch.ones_like(terms["loss"])
        shares = dict.fromkeys(self._loss.losses, one) if shares is None else shares
        own = terms.weights if isinstance(terms, LossTerms) else {}
        weights = {name: own[name] if name in own else shares[self._stage(name)] for name in terms if name != "loss"}
        self._values.append({name: value.detach().double() for name, value in terms.items()})
        self._weights.append({name: weight.detach().double() for name, weight in weights.items()})

    def names(self) -> tuple[str, ...]:
        """Return the names of the terms; none without a minibatch."""
        return tuple(self._values[0]) if self._values else ()

    def numbers(
        self, names: Sequence[str] = (), total: Callable[[Tensor], Tensor] = _as_it_is
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the terms of the batch, and the weight of each beside other batches; 0 for one that is NaN.

        Args:
            names: of the terms, where there may be no minibatch here.
            total: adds up a tensor over the processes that have parts of the batch.
        """
        names = [name for name in self.names() or names if name != "loss"]
        sums, norms = total(self._sums(names)).tolist()
        weights = dict(zip(names, norms, strict=True))
        numbers = {
            name: value / weights[name] if weights[name] else math.nan for name, value in zip(names, sums, strict=True)
        }
        return {"loss": self._whole_loss(numbers, weights), **numbers}, {"loss": 1.0, **weights}

    def _whole_loss(self, numbers: Mapping[str, float], weights: Mapping[str, float]) -> float:
        if self._is_whole:
            return self._values[0]["loss"].item()
        losses = {name: numbers[f"{name}_loss"] if weights[f"{name}_loss"] else 0.0 for name in self._loss.factors}
        return sum(factor * losses[name] for name, factor in self._loss.factors.items())

    def _sums(self, names: Sequence[str]) -> Tensor:
        """Return (2, T) sums over the minibatches, of weight times term and of the weight, where the term counts."""
        if not self._values:
            return torch.zeros(2, len(names), dtype=torch.float64)
        values, weights = (
            torch.stack([torch.stack([row[name] for name in names]) for row in rows])
            for rows in (self._values, self._weights)
        )
        of_stages = {f"{name}_loss" for name in self._loss.factors}
        may_lack = torch.tensor([name not in of_stages for name in names], device=values.device)
        weights = torch.where(values.isnan() & may_lack, 0.0, weights)
        return torch.stack([torch.where(weights > 0, values * weights, 0.0).sum(0), weights.sum(0)])

    def _stage(self, term: str) -> str:
        return max((name for name in self._loss.losses if term.startswith(f"{name}_")), key=len)
