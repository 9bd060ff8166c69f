"""Batches of events: infinite and resumable for training, one pass in order for inference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mlreco.errors import UserError
from mlreco.iotools.collate import Batch
from mlreco.iotools.dataset import Event, LArCVDataset
from mlreco.iotools.samplers import Sampler
from mlreco.iotools.skipped import Skipped

_AUGMENTATION_STREAM = 1


@dataclass(frozen=True)
class _Request:
    """An event as a worker is asked for it: place in the dataset, number of the batch, place in the batch."""

    index: int
    batch: int
    position: int


@dataclass(frozen=True)
class _Failure:
    """A user's error on its way out of a worker, where an exception would be wrapped in a traceback.

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

    def __getitem__(self, request: _Request) -> Event | _Failure:
        key = [self.seed, _AUGMENTATION_STREAM, request.batch, request.position]
        rng = np.random.default_rng(key) if self.augment else None
        try:
            return self.dataset.fetch(request.index, rng)
        except UserError as error:
            return _Failure(str(error), request.index)


class _Collate:
    """The collate function for the events that could be read, beside the failures of the others."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, events: Sequence[Event | _Failure]) -> tuple[Batch | None, tuple[_Failure, ...]]:
        failures = tuple(event for event in events if isinstance(event, _Failure))
        sound = [event for event in events if not isinstance(event, _Failure)]
        try:
            return (self.collate(sound) if sound else None), failures
        except UserError as error:
            return None, (_Failure(str(error)), *failures)


class _Plan:
    """Batch sampler of torch's loader: what each batch to come consists of, from where the consumer stands.

    It knows nothing of the Loader that owns it: in a reference cycle the garbage collector may close the workers'
    queues before they are told to end, and then each is waited for in vain.
    """

    def __init__(self, sampler: Sampler, entries: int, batch_size: int, train: bool, iteration: int) -> None:
        self.sampler, self.entries, self.batch_size, self.train = sampler, entries, batch_size, train
        self.iteration = iteration

    def __iter__(self) -> Iterator[list[_Request]]:
        number = self.iteration
        while self.train or number * self.batch_size < self.entries:
            indices = self.sampler.batch(number)
            if not self.train:
                indices = indices[: self.entries - number * self.batch_size]
            yield [_Request(int(index), number, position) for position, index in enumerate(indices)]
            number += 1


class Loader:
    """Iterable of batches.

    For training it goes on for ever; iterating again continues after the last batch consumed. For inference each
    iteration is one pass over all events in order, with a smaller batch at the end where needed.

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
    ) -> None:
        self.dataset, self.batch_size, self.train = dataset, batch_size, train
        self._skip = skip
        self._skipped: dict[int, Skipped] = {}
        self._seed = seed
        self._plan = _Plan(sampler, len(dataset), batch_size, train, start_iteration)
        self._loader = DataLoader(
            _EventSource(dataset, seed, augment=train),
            batch_sampler=self._plan,
            collate_fn=_Collate(collate),
            num_workers=num_workers,
            pin_memory=pin_memory and torch.cuda.is_available(),
            persistent_workers=num_workers > 0,
            generator=torch.Generator().manual_seed(seed),  # or torch would draw from the global generator
            worker_init_fn=_ignore_interrupt,
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
    def epoch(self) -> float:
        """Passes over the events handed out so far."""
        return self.iteration * self.batch_size / len(self.dataset)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; those of which no event can be read are passed over.

        Raises:
            UserError: damaged data; the message names file, event and product. Where events are skipped: as many
                batches as a pass has, one after another, hold none that can be read.
        """
        if not self.train:
            self._plan.iteration = 0
        fruitless = 0
        for batch, failures in self._loader:
            self._note(failures)
            self._plan.iteration += 1
            fruitless = 0 if batch is not None else fruitless + 1
            if fruitless == len(self):
                self.close()
                raise UserError(f"none of the events can be read; {next(iter(self._skipped.values()))}")
            if batch is not None:
                yield batch

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
        """Return what is needed to continue with the next batch, whatever workers had prefetched."""
        return {"iteration": self.iteration, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where ``state_dict`` was taken.

        Raises:
            UserError: the data, batch size, sampler or seed are others, so that the batches would differ.
        """
        for name, mine in self._identity().items():
            if state.get(name) != mine:
                raise UserError(
                    f"cannot continue with the same batches: {name} was {state.get(name)} and is {mine} now"
                )
        self._plan.iteration = int(state["iteration"])

    def close(self) -> None:
        """End the workers and close the files; the next iteration starts them again."""
        workers = self._loader._iterator
        if self._loader.num_workers and workers is not None:
            workers._shutdown_workers()
        self._loader._iterator = None
        self.dataset.close()

    def _identity(self) -> dict[str, Any]:
        return {
            "events": len(self.dataset),
            "batch_size": self.batch_size,
            "sampler": type(self._plan.sampler).__name__,
            "seed": self._seed,
        }


def _ignore_interrupt(worker: int) -> None:
    """Leave Ctrl-C to the main process, which saves and then ends the workers."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
