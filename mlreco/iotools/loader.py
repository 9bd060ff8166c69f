"""Batches of events: infinite and resumable for training, one pass in order for inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mlreco.errors import UserError
from mlreco.iotools.collate import Batch
from mlreco.iotools.dataset import LArCVDataset
from mlreco.iotools.event_parser import Event
from mlreco.iotools.handover import packed, unpacked
from mlreco.iotools.plan import WHOLE, Plan, Request, Shard
from mlreco.iotools.samplers import Sampler
from mlreco.iotools.skipped import Skipped
from mlreco.iotools.workers import POLL, end_workers, leave_signals_to_the_main_process, received

_AUGMENTATION_STREAM = 1


@dataclass(frozen=True)
class _Failure:
    """A user's error that a worker returns instead of raising it, which would add the worker's traceback.

    Attributes:
        message: what the error says.
        index: the event that cannot be read, in the dataset; None where the error is not that of an event.
    """

    message: str
    index: int | None = None


class _EventSource(Dataset):
    """The dataset as torch's loader sees it."""

    def __init__(self, dataset: LArCVDataset, seed: int, augment: bool) -> None:
        self.dataset, self.seed, self.augment = dataset, seed, augment

    def __getitem__(self, request: Request) -> Event | _Failure:
        key = [self.seed, _AUGMENTATION_STREAM, request.batch, request.position]
        rng = np.random.default_rng(key) if self.augment else None
        try:
            return self.dataset.fetch(request.index, rng, request.batch)
        except UserError as error:
            return _Failure(str(error), request.index)


class _Collate:
    """Collates the events that could be read, and returns the failures of the others with them."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, events: Sequence[Event | _Failure]) -> tuple[Batch | None, tuple[_Failure, ...]]:
        failures = tuple(event for event in events if isinstance(event, _Failure))
        sound = [event for event in events if not isinstance(event, _Failure)]
        try:
            return (packed(self.collate(sound)) if sound else None), failures
        except UserError as error:
            return None, (_Failure(str(error)), *failures)


class Loader:
    """Iterable of batches.

    For training it goes on for ever; iterating again continues after the last batch consumed. For inference each
    iteration is one pass over all events in order, with a smaller batch at the end where needed. A batch of a training
    may come in minibatches; :meth:`steps` keeps those of one batch together.

    Args:
        dataset: the events.
        sampler: which events make up a batch (training).
        batch_size: events of a batch.
        train: whether to train.
        seed: seed of the augmentation.
        collate: events to a batch.
        num_workers: processes that read; 0 reads in this one.
        pin_memory: put batches into page-locked memory (where there is a CUDA device).
        start_iteration: number of batches already consumed (training).
        skip: leave events that cannot be read out of their batches, rather than raise.
        minibatch_size: events that are read and given out at once; those of a batch if None.
        shard: the part of every batch that this process trains on.

    Attributes:
        dataset: the events.
        batch_size: events of a batch.
        train: whether the loader is for training.
    """

    def __init__(
        self,
        dataset: LArCVDataset,
        sampler: Sampler,
        batch_size: int,
        *,
        train: bool,
        seed: int = 0,
        collate: Any,
        num_workers: int = 0,
        pin_memory: bool = False,
        start_iteration: int = 0,
        skip: bool = False,
        minibatch_size: int | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        self.dataset, self.batch_size, self.train = dataset, batch_size, train
        self._skip = skip
        self._skipped: dict[int, Skipped] = {}
        self._seed = seed
        size = minibatch_size or batch_size
        self._plan = Plan(sampler, len(dataset), batch_size, size, train=train, iteration=start_iteration, shard=shard)
        self._loader = DataLoader(
            _EventSource(dataset, seed, augment=train),
            batch_sampler=self._plan,
            collate_fn=_Collate(collate),
            num_workers=num_workers,
            pin_memory=pin_memory and torch.cuda.is_available(),
            persistent_workers=num_workers > 0,
            generator=torch.Generator().manual_seed(seed),  # otherwise torch draws from the global generator
            worker_init_fn=leave_signals_to_the_main_process,
            timeout=POLL if num_workers else 0,
        )

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Batches of one pass over the events."""
        return -(-len(self.dataset) // self.batch_size)

    @property
    def iteration(self) -> int:
        """Number of batches handed out."""
        return self._plan.iteration

    @property
    def endless(self) -> bool:
        """Whether the events have no end, so that there are no passes over them."""
        return getattr(self.dataset, "endless", False)

    @property
    def epoch(self) -> float:
        """Passes over the events handed out so far."""
        return self.iteration * self.batch_size / len(self.dataset)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches, or the minibatches of one after another; see :meth:`steps`."""
        for parts in self.steps():
            yield from parts

    def steps(self, ended: Callable[[], bool] = lambda: False) -> Iterator[list[Batch]]:
        """Yield each batch as the list of its minibatches.

        Minibatches and batches of which no event can be read are left out; an empty batch is yielded where other
        processes have a part of it.

        Args:
            ended: called while it waits for workers; returns whether to stop.

        Raises:
            UserError: damaged data; the message names file, event and product. Where events are skipped: as many
                batches as a pass has, one after another, hold none that can be read. A worker was killed.
            WaitEnded: ``ended`` returned True.
        """
        if not self.train:
            self._plan.iteration = 0
        fruitless = 0
        parts: list[Batch] = []
        for number, (batch, failures) in enumerate(received(self._loader, ended), start=1):
            self._note(failures)
            if batch is not None:
                parts.append(unpacked(batch))
            if number % self._plan.parts:
                continue
            self._plan.iteration += 1
            fruitless = 0 if parts else fruitless + 1
            if fruitless == len(self):
                self.close()
                raise UserError(f"none of the events can be read; {next(iter(self._skipped.values()))}")
            if parts or self._plan.shard.ranks > 1:
                yield parts
            parts = []

    def any_events(self) -> Batch:
        """Return a batch of the first event that can be read.

        Raises:
            UserError: none can.
        """
        for index in range(len(self.dataset)):
            batch, _ = self._loader.collate_fn([self._loader.dataset[Request(index, 0, 0)]])
            if batch is not None:
                return unpacked(batch)
        raise UserError(f"none of the {len(self.dataset)} events can be read")

    @property
    def skipped(self) -> list[Skipped]:
        """Files and events left out so far; an event that was met several times is listed once."""
        return [*self.dataset.skipped_files, *self._skipped.values()]

    def _note(self, failures: Sequence[_Failure]) -> None:
        """Remember the events that are skipped, or raise."""
        for failure in failures:
            if not self._skip or failure.index is None:
                self.close()
                raise UserError(failure.message)
            file, entry = self.dataset.source(failure.index)
            self._skipped[failure.index] = Skipped.because(self.dataset.files[file], entry, failure.message)

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which to continue with the next batch; what workers have prefetched does not matter."""
        return {"iteration": self.iteration, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where ``state_dict`` was taken.

        Raises:
            UserError: the data, batch size, sampler or seed are others, so that the batches would differ.
        """
        for name, mine in self._identity().items():
            before = state.get(name, self.batch_size if name == "minibatch_size" else None)
            if before != mine:
                raise UserError(f"cannot continue with the same batches: {name} was {before} and is {mine} now")
        self._plan.iteration = int(state["iteration"])

    def close(self) -> None:
        """End the workers and close the files; the next iteration starts them again."""
        end_workers(self._loader)
        self.dataset.close()

    def _identity(self) -> dict[str, Any]:
        return {
            "events": len(self.dataset),
            "batch_size": self.batch_size,
            "minibatch_size": self._plan.minibatch_size,
            "sampler": type(self._plan.sampler).__name__,
            "seed": self._seed,
        }
