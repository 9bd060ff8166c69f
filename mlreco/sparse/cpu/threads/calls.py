"""When the calls of shared kernels are made: each at once, or by a helper while the caller prepares the next ones.

What is between two kernels is the interpreter's, which has one thread at a time and finds little of what it needs in
the cache after a kernel; so it had better not be in between.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np
import torch

from mlreco.sparse.cpu.threads.crew import crew_places, helpers_of, share
from mlreco.sparse.cpu.threads.queue import (
    HEAD_WORDS,
    LENGTH,
    QUEUE_BYTES,
    catch_up,
    close_queue,
    open_queue,
    serve_queue,
    write_down,
)
from mlreco.sparse.native.jit import SharedKernel
from mlreco.sparse.native.job import Job
from mlreco.sparse.native.memory import address, aligned_empty, floats

FEW_BYTES = 16 << 20
"""Results that may wait in inference: memory that is used again soon is still in the cache."""


class Calls(Protocol):
    """What makes calls in the order in which they come, and the memory for what they write."""

    def __call__(self, work: SharedKernel, job: Job, threads: int) -> None:
        """Call a kernel with its job as ``share`` does."""

    def empty(self, *shape: int) -> torch.Tensor:
        """Return float32 memory for the result of a call."""


class AtOnce:
    """Makes every call before it returns."""

    def __call__(self, work: SharedKernel, job: Job, threads: int) -> None:
        """Call a kernel."""
        share(work, job, threads)

    def empty(self, *shape: int) -> torch.Tensor:
        """Return memory for a result."""
        return floats(*shape)


class InTurn:
    """Has a helper make the calls in their order, while the caller prepares the next ones.

    Nothing else may read a result, or write what a call reads, before the end of the ``with`` block.

    Args:
        threads: how many there are, the caller's included; with one, it makes the calls itself.
        most: bytes of results that may wait.
    """

    def __init__(self, threads: int, most: float = float("inf")) -> None:
        self._is_open = False
        self._threads = threads
        self._most = most
        self._memory = aligned_empty((QUEUE_BYTES // 8,), np.int64)
        self._memory[:HEAD_WORDS] = 0
        self._place = address(self._memory)
        self._bytes = self._bytes_of_next = 0
        self._waiting: deque[tuple[int, int, Job]] = deque()
        self._last: list[tuple[SharedKernel, Job]] = []

    def __enter__(self) -> InTurn:
        """Call a helper."""
        self._is_open = True
        open_queue(self._place, serve_queue.address, *crew_places(self._threads))
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
        """Close what an interrupt just before or behind the block has left open: a helper may be at work on it."""
        if self._is_open:
            self.__exit__()

    def __call__(self, work: SharedKernel, job: Job, threads: int) -> None:
        """Take a call on."""
        self._waiting.append((int(self._memory[0]), self._bytes_of_next, job))
        self._bytes_of_next = 0
        self._forget(write_down(self._place, work.address, job.address, helpers_of(threads)))
        if self._bytes >= self._most or len(self._waiting) == LENGTH:
            self._wait()

    def begin(self, first: SharedKernel, last: SharedKernel, job: Job) -> None:
        """Take a call on that begins something, and one that finishes it after all others, whatever happens."""
        self._last.append((last, job))
        self(first, job, 1)

    def empty(self, *shape: int) -> torch.Tensor:
        """Return memory for the result of the next call."""
        memory = floats(*shape)
        self._bytes += memory.nbytes
        self._bytes_of_next += memory.nbytes
        return memory

    def _wait(self) -> None:
        """Help until half of what may wait does."""
        left, upto, last = self._bytes, 0, self._waiting[-1][0]
        for number, size, _ in self._waiting:
            if left < self._most / 2 and last - number < LENGTH // 2:
                break
            left, upto = left - size, number + 1
        self._forget(catch_up(self._place, upto))

    def _forget(self, done: int) -> None:
        """Let go of what the calls used that have been made."""
        while self._waiting and self._waiting[0][0] < done:
            self._bytes -= self._waiting.popleft()[1]


AT_ONCE = AtOnce()
