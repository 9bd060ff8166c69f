"""From a batch to the losses whose gradients are wanted, minibatch by minibatch, in one process or several."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mlreco.iotools.collate import Batch
from mlreco.models.chain import Chain, ChainLoss
from mlreco.models.finite import not_finite
from mlreco.models.layers.precision import autocast
from mlreco.models.transfer import to_device
from mlreco.training.parts import Shares, Terms, shares_of
from mlreco.training.team import Team


@dataclass
class Lessons:
    """What a batch taught.

    Attributes:
        terms: of the loss.
        problem: what is wrong with the numbers, if anything.
        at_fault: the minibatches in which it shows.
    """

    terms: Terms
    problem: str = ""
    at_fault: list[Batch] = field(default_factory=list)


class _Pass(nn.Module):
    """Network and loss as one module, so that gradients of several processes meet at its parameters."""

    def __init__(self, chain: Chain, loss: ChainLoss, amp: str) -> None:
        super().__init__()
        self.chain, self.loss, self.amp = chain, loss, amp

    def forward(self, batch: Batch | None, shares: Shares | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what is minimised and the terms; of no batch a 0 that all parameters have a part in."""
        if batch is None:
            return self._nothing(), {}
        device = next(self.chain.parameters()).device
        with autocast(self.amp, device):
            products = self.chain(batch)
        terms = self.loss(products, products["labels"])
        if shares is None:
            return terms["loss"], terms
        return self.loss.total(terms, shares) + self._nothing(), terms

    def _nothing(self) -> Tensor:
        """Return a 0 with a gradient of 0 for every parameter: a process must have one for each of them."""
        firsts = [parameter.flatten()[0] for parameter in self.chain.parameters() if parameter.requires_grad]
        return 0.0 * torch.stack(firsts).sum()


class Learner:
    """Makes losses of batches.

    Args:
        chain: the network.
        loss: what is minimised.
        amp: ``trainval.amp``.
        team: the processes that train together.
    """

    def __init__(self, chain: Chain, loss: ChainLoss, amp: str, team: Team) -> None:
        self.chain, self.loss, self.team = chain, loss, team
        self.device = next(chain.parameters()).device
        self._module = team.parallel(_Pass(chain, loss, amp))
        self._buffers = dict(chain.named_buffers())
        self._before: list[Tensor] = []
        self._names: tuple[str, ...] = ()

    def losses(self, parts: Sequence[Batch], lessons: Lessons, lap: Callable[[str], None]) -> Iterator[Tensor]:
        """Yield the loss of each minibatch; the backward pass of one is done when the next is asked for.

        It ends early where a number is none. Several processes go on to the end together, and all of them know then.

        Args:
            parts: the minibatches of this process; none where no event could be read.
            lessons: filled.
            lap: called with the name of what has just been done: ``tforward`` or ``tbackward``.
        """
        self._before = [buffer.clone() for buffer in self._buffers.values()]
        alone = self.team.ranks == 1
        shares = [None] if alone and len(parts) == 1 else self._shares(parts)
        for number, (part, share) in enumerate(zip(parts or [None], shares, strict=True), start=1):
            with self._meeting_gradients(number == len(shares)):
                batch = part and to_device(part, self.device)
                loss, found = self._module(batch, share)
                if part is not None:
                    lessons.terms.add(found, share)
                    self._look_at(loss, part, lessons)
                lap("tforward")
                if lessons.problem and alone:
                    return
                yield loss if alone else loss * self.team.ranks
                lap("tbackward")
        if not alone:
            self._agree(lessons)

    def take_back(self) -> None:
        """Restore the running statistics that were there before the batch."""
        with torch.no_grad():
            for buffer, before in zip(self._buffers.values(), self._before, strict=True):
                buffer.copy_(before)

    def numbers(self, lessons: Lessons) -> dict[str, float]:
        """Return the terms of the whole batch, of all processes."""
        if self.team.ranks > 1 and not self._names:
            self._names = next(filter(None, self.team.gathered(lessons.terms.names())))
        return lessons.terms.numbers(self._names, self.team.sum)

    def _shares(self, parts: Sequence[Batch]) -> list[Shares]:
        shares = shares_of(parts, self.chain, self.loss, self.team.sum)
        return [{name: value.to(self.device) for name, value in share.items()} for share in shares]

    def _meeting_gradients(self, last: bool) -> Any:
        """Return the context of a pass; the gradients of several processes are put together after the last."""
        return contextlib.nullcontext() if last or self.team.ranks == 1 else self._module.no_sync()

    def _look_at(self, loss: Tensor, part: Batch, lessons: Lessons) -> None:
        value, statistics = loss.item(), not_finite(self._buffers)
        if not math.isfinite(value):
            problem = f"the loss is {value}"
        elif statistics is not None:
            problem = f"the running statistics '{statistics}' are no numbers"
        else:
            return
        lessons.problem = lessons.problem or problem
        lessons.at_fault.append(part)

    def _agree(self, lessons: Lessons) -> None:
        """Let every process know what went wrong in one."""
        if self.team.worst(int(bool(lessons.problem))):
            lessons.problem = next(filter(None, self.team.gathered(lessons.problem)))
