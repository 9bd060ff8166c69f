"""The events of each coming batch, and the part of it that this process reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlreco.errors import UserError
from mlreco.iotools.samplers import Sampler


@dataclass(frozen=True)
class Request:
    """The request for an event to a worker.

    Attributes:
        index: place in the dataset.
        batch: number of the batch.
        position: place in the whole batch, whichever process reads it.
    """

    index: int
    batch: int
    position: int


@dataclass(frozen=True)
class Shard:
    """The part of every batch that one of several processes trains on.

    The shards of a batch are contiguous, differ by one event at most in size and together are the batch.

    Attributes:
        rank: number of this process.
        ranks: how many there are.
    """

    rank: int = 0
    ranks: int = 1

    def of(self, requests: list[Request]) -> list[Request]:
        """Return this process' part of a batch."""
        share, larger = divmod(len(requests), self.ranks)
        first = self.rank * share + min(self.rank, larger)
        return requests[first : first + share + (self.rank < larger)]


WHOLE = Shard()
"""All of every batch."""


class Plan:
    """Batch sampler of torch's loader: minibatch after minibatch, from the next one that the consumer needs.

    It holds no reference to the Loader that owns it: in a reference cycle the garbage collector may close the workers'
    queues before the workers are told to end, and waiting for each of them would then time out.

    Args:
        sampler: which events make up a batch.
        entries: number of events.
        batch_size: events of a batch.
        minibatch_size: events that are read, and go through the network, at once.
        train: whether it goes on for ever; else it is one pass, whose last batch may be smaller.
        iteration: number of the first batch.
        shard: the part of every batch that is read here.

    Attributes:
        iteration: number of the batch that comes next.
        parts: minibatches of a whole batch, read here.

    Raises:
        UserError: more processes than there are events, in a batch or at all.
    """

    def __init__(
        self,
        sampler: Sampler,
        entries: int,
        batch_size: int,
        minibatch_size: int,
        *,
        train: bool,
        iteration: int = 0,
        shard: Shard = WHOLE,
    ) -> None:
        if shard.ranks > batch_size:
            raise UserError(f"{shard.ranks} processes train on batches of {batch_size}: raise iotool.batch_size")
        if shard.ranks > entries:
            raise UserError(f"{shard.ranks} processes train on {entries} events: start no more than there are events")
        self.sampler, self.entries, self.train = sampler, entries, train
        self.batch_size, self.minibatch_size = batch_size, minibatch_size
        self.iteration, self.shard = iteration, shard
        self.parts = len(list(self._minibatches([Request(0, 0, place) for place in range(batch_size)])))

    def __iter__(self) -> Iterator[list[Request]]:
        number = self.iteration
        while self.train or number * self.batch_size < self.entries:
            indices = self.sampler.batch(number)
            if not self.train:
                indices = indices[: self.entries - number * self.batch_size]
            yield from self._minibatches([Request(int(index), number, place) for place, index in enumerate(indices)])
            number += 1

    def _minibatches(self, batch: list[Request]) -> Iterator[list[Request]]:
        own = self.shard.of(batch)
        for first in range(0, len(own), self.minibatch_size):
            yield own[first : first + self.minibatch_size]
