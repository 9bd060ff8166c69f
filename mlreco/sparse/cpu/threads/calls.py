"""Ways to call kernels: at once (``DirectCalls``), or by a helper while the caller prepares the next calls.

Between two kernels Python checks shapes and allocates memory, in one thread, and all others wait. ``QueuedCalls`` lets
this overlap with the kernels.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np
import torch

from mlreco.sparse.cpu.threads.call_queue import (
    HEAD_WORDS,
    LENGTH,
    QUEUE_BYTES,
    append_call,
    close_queue,
    help_until,
    open_queue,
    work_off_queue,
)
from mlreco.sparse.cpu.threads.crew import crew_places, helpers_of, work_together
from mlreco.sparse.cpu.threads.thread_count import thread_count
from mlreco.sparse.native.jit import SharedKernel
from mlreco.sparse.native.job import Job
from mlreco.sparse.native.memory import address, aligned_empty, floats

_FEW_BYTES = 16 << 20
"""Bytes of results that queued calls may hold in inference: memory that is reused soon is still in the cache."""


class Calls(Protocol):
    """Makes calls in their order, and the memory for what they write.

    Attributes:
        threads: how many threads work on a call at most.
    """

    threads: int

    def __call__(self, work: SharedKernel, job: Job, threads: int) -> None:
        """Call a kernel with its job as ``share`` does."""

    def empty(self, *shape: int) -> torch.Tensor:
        """Return float32 memory for the result of a call."""


class BlockOfCalls(Calls, Protocol):
    """Makes calls inside a ``with`` block; results are complete at its end."""

    def __enter__(self) -> BlockOfCalls:
        """Begin the block."""

    def __exit__(self, *_: object) -> None:
        """Return when all calls have been made."""

    def begin(self, first: SharedKernel, last: SharedKernel, job: Job) -> None:
        """Call ``first``, which opens a job to helpers, and at the latest at the end ``last``, which finishes it."""


class DirectCalls:
    """Makes every call before it returns.

    Args:
        threads: how many threads work on a call at most.
    """

    __slots__ = ("threads",)

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    def __enter__(self) -> DirectCalls:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, work: SharedKernel, job: Job, threads: int) -> None:
        """Call a kernel."""
        work_together(work.address, job.address, *crew_places(threads))

    def begin(self, first: SharedKernel, last: SharedKernel, job: Job) -> None:
        """Open a job and finish it at once."""
        self(first, job, 1)
        self(last, job, 1)

    def empty(self, *shape: int) -> torch.Tensor:
        """Return memory for a result."""
        return floats(*shape)


class QueuedCalls:
    """A ``with`` block in which a helper makes the calls, in order, while the caller prepares the next ones.

    Results are complete at the end of the block. Until then only later calls may read them, and nothing may be written
    that a call reads. A job, and with it the memory to which it points, is kept until its call has been made.

    Args:
        threads: how many there are, the caller's included; with one, it makes the calls itself.
        most: bytes of results that calls which have not been made may hold; beyond that the caller waits.
    """

    def __init__(self, threads: int, most: float = float("inf")) -> None:
        self._is_open = False
        self.threads = threads
        self._most = most
        self._memory = aligned_empty((QUEUE_BYTES // 8,), np.int64)
        self._memory[:HEAD_WORDS] = 0
        self._place = address(self._memory)
        self._bytes = self._bytes_of_next = self._appended = 0
        self._waiting: deque[tuple[int, int, Job]] = deque()
        self._last: list[tuple[SharedKernel, Job]] = []

    def __enter__(self) -> QueuedCalls:
        """Open the queue to a helper."""
        self._is_open = True
        open_queue(self._place, work_off_queue.address, *crew_places(self.threads))
        return self

    def __exit__(self, *_: object) -> None:
        """Return when all calls have been made."""
        for work, job in reversed(self._last):
            self(work, job, 1)
        self._last.clear()
        close_queue(self._place)
        self._is_open = False
        self._waiting.clear()

    def __del__(self) -> None:
        """Close a queue that an interrupt between ``__enter__`` and the block left open: a helper may still read it."""
        if self._is_open:
            self.__exit__()

    def __call__(self, work: SharedKernel, job: Job, threads: int) -> None:
        """Append a call."""
        self._waiting.append((self._appended, self._bytes_of_next, job))
        self._appended += 1
        self._bytes_of_next = 0
        self._forget(append_call(self._place, work.address, job.address, helpers_of(threads)))
        if self._bytes >= self._most or len(self._waiting) == LENGTH:
            self._wait()

    def begin(self, first: SharedKernel, last: SharedKernel, job: Job) -> None:
        """Append a call that opens a job; ``last`` finishes it at the end of the block, also after an error."""
        self._last.append((last, job))
        self(first, job, 1)

    def empty(self, *shape: int) -> torch.Tensor:
        """Return memory for the result of the next call."""
        memory = floats(*shape)
        size = memory.nbytes
        self._bytes += size
        self._bytes_of_next += size
        return memory

    def _wait(self) -> None:
        """Work on the queue until the results of waiting calls hold half of the bytes allowed."""
        left, upto, last = self._bytes, 0, self._waiting[-1][0]
        for number, size, _ in self._waiting:
            if left < self._most / 2 and last - number < LENGTH // 2:
                break
            left, upto = left - size, number + 1
        self._forget(help_until(self._place, upto))

    def _forget(self, done: int) -> None:
        """Release the jobs of calls that have been made."""
        while self._waiting and self._waiting[0][0] < done:
            self._bytes -= self._waiting.popleft()[1]


DIRECT = DirectCalls()


def calls_at_once() -> DirectCalls:
    """Return what makes calls at once, with as many threads as this Python thread may use."""
    return DirectCalls(thread_count())


def calls_in_training() -> BlockOfCalls:
    """Return a block for the calls of a layer in training: queued where there is a helper to make them.

    With one thread nothing overlaps, and a queue only adds to the time of a step: up to 7 % with 300 to 5,000 voxels.
    """
    threads = thread_count()
    return QueuedCalls(threads) if threads > 1 else DIRECT


def calls_in_inference() -> BlockOfCalls:
    """Return a block for the calls of an encoder or decoder in inference, queued also where there is no helper."""
    return QueuedCalls(thread_count(), _FEW_BYTES)
