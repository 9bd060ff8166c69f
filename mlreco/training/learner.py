"""Losses of a batch for the backward pass, minibatch by minibatch, in one process or several."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mlreco.iotools.collate import Batch
from mlreco.models.chain import Chain, ChainLoss
from mlreco.models.finite import not_finite
from mlreco.models.layers.precision import autocast
from mlreco.models.transfer import to_device
from mlreco.training.culprit import events_at_fault
from mlreco.training.parts import Shares, Terms, shares_of
from mlreco.training.synced_norms import SyncedNorms
from mlreco.training.team import Team


@dataclass
class Lessons:
    """The outcome of a batch: its terms, and what went wrong.

    Attributes:
        terms: of the loss.
        problem: the number that is not finite, in words; empty where all are.
        at_fault: the minibatches in which it occurs.
    """

    terms: Terms
    problem: str = ""
    at_fault: list[Batch] = field(default_factory=list)


class _Pass(nn.Module):
    """Network and loss as one module, which `DistributedDataParallel` needs to average gradients over processes."""

    def __init__(self, chain: Chain, loss: ChainLoss, amp: str, norms: SyncedNorms | None) -> None:
        super().__init__()
        self.chain, self.loss, self.amp, self._norms = chain, loss, amp, norms

    def forward(self, batch: Batch, shares: Shares | None, counts: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what is minimised, and the terms. For a batch that does not count, a 0 that depends on all parameters.

        Args:
            batch: of events.
            shares: of the batch in that of all minibatches and processes; None where it is the only one.
            counts: whether anything is learned from it.
        """
        if not counts:
            return self._uncounted(batch), {}
        products = self._products(batch)
        terms = self.loss(products, products["labels"])
        if shares is None:
            return terms["loss"], terms
        return self.loss.total(terms, shares) + self._nothing(products), terms

    def _products(self, batch: Batch) -> dict[str, Any]:
        with autocast(self.amp, next(self.chain.parameters()).device):
            return self.chain(batch)

    def _uncounted(self, batch: Batch) -> Tensor:
        """Make a pass that contributes nothing, to take part in the collective operations of the others."""
        if self._norms is None:
            return self._nothing({})
        with self._norms.uncounted():
            return self._nothing(self._products(batch))

    def _nothing(self, products: Mapping[str, Any]) -> Tensor:
        """Return a 0 with a gradient of 0 for every parameter: a process must have one for each of them."""
        firsts = [parameter.flatten()[0] for parameter in self.chain.parameters() if parameter.requires_grad]
        nothing = 0.0 * torch.stack(firsts).sum()
        return nothing if self._norms is None else nothing + self._norms.tie(products)


class Learner:
    """Makes losses of batches.

    Args:
        chain: the network.
        loss: what is minimised.
        amp: ``trainval.amp``.
        team: the processes that train together.
        norms: its normalisations, where they are over the voxels of all processes.
        any_events: returns some events, for a process that has none in this batch.
    """

    def __init__(
        self,
        chain: Chain,
        loss: ChainLoss,
        amp: str,
        team: Team,
        norms: SyncedNorms | None = None,
        any_events: Callable[[], Batch] | None = None,
    ) -> None:
        self.chain, self.loss, self.team, self._amp = chain, loss, team, amp
        self.device = next(chain.parameters()).device
        self._norms, self._any_events = norms, any_events
        self._module = team.parallel(_Pass(chain, loss, amp, norms))
        self._buffers = dict(chain.named_buffers())
        self._before: list[Tensor] = []
        self._spare: Batch | None = None
        self._names: tuple[str, ...] = ()

    def losses(self, parts: Sequence[Batch], lessons: Lessons, lap: Callable[[str], None]) -> Iterator[Tensor]:
        """Yield the loss of each minibatch; the backward pass of one is done when the next is asked for.

        It ends early where a number is not finite. Several processes all go on to the end and then share the problem.

        Args:
            parts: the minibatches of this process; none where no event could be read.
            lessons: filled.
            lap: called with the name of what has just been done: ``tforward`` or ``tbackward``.
        """
        self._before = [buffer.clone() for buffer in self._buffers.values()]
        alone = self.team.ranks == 1
        shares: Sequence[Shares | None] = [None] if alone and len(parts) == 1 else self._shares(parts)
        passes = max(1, len(parts) if self._norms is None else self.team.worst(len(parts)))
        padding = [None] * (passes - len(parts))
        minibatches = zip([*parts, *padding], [*shares[: len(parts)], *padding], strict=True)
        for number, (part, share) in enumerate(minibatches, start=1):
            with self._meeting_gradients(number == passes):
                batch = part or self._stand_in()
                loss, found = self._module(batch and to_device(batch, self.device), share, part is not None)
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

    def _stand_in(self) -> Batch | None:
        """Return events for a pass that this process makes only because the others do; None where none is needed."""
        if self._norms is None:
            return None
        if self._spare is None and self._any_events is not None:
            self._spare = self._any_events()
        return self._spare

    def take_back(self) -> None:
        """Restore the running statistics that were there before the batch."""
        with torch.no_grad():
            for buffer, before in zip(self._buffers.values(), self._before, strict=True):
                buffer.copy_(before)

    def events_at_fault(self, parts: Sequence[Batch]) -> list[int]:
        """Return the places of the events of a batch that also fail alone (`mlreco.training.culprit`)."""
        with contextlib.nullcontext() if self._norms is None else self._norms.apart():
            return events_at_fault(parts, self.chain, self.loss, self._amp)

    def numbers(self, lessons: Lessons) -> tuple[dict[str, float], dict[str, float]]:
        """Return the terms of the whole batch, of all processes, and their weights beside those of other batches."""
        if self.team.ranks > 1 and not self._names:
            self._names = next(filter(None, self.team.gathered(lessons.terms.names())))
        return lessons.terms.numbers(self._names, self.team.sum)

    def _shares(self, parts: Sequence[Batch]) -> list[Shares]:
        shares = shares_of(parts, self.chain, self.loss, self.team.sum)
        return [{name: value.to(self.device) for name, value in share.items()} for share in shares]

    def _meeting_gradients(self, last: bool) -> Any:
        """Return the context of a pass; the gradients of several processes are put together after the last."""
        if last or not isinstance(self._module, DistributedDataParallel):
            return contextlib.nullcontext()
        return self._module.no_sync()

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
        """Share a problem of one process with all processes."""
        if self.team.worst(int(bool(lessons.problem))):
            lessons.problem = next(filter(None, self.team.gathered(lessons.problem)))
