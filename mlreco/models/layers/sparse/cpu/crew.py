"""Helper threads that share one call's work items; any number of Python threads may call at once.

The compiled kernels release the interpreter lock and claim items from an atomic counter, so whoever is free takes
the next item. The calling thread works too and takes back what no helper has begun, so a call never waits for
helpers that are busy with another call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue


class _Job:
    """A call offered to the helpers, run at most once."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._claim = threading.Lock()
        self._finished = threading.Lock()
        self._finished.acquire()
        self._error: BaseException | None = None

    def run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            self._work()
        except BaseException as error:
            self._error = error
        finally:
            self._finished.release()

    def withdraw_or_wait(self) -> None:
        if self._claim.acquire(blocking=False):
            return
        self._finished.acquire()
        if self._error is not None:
            raise self._error


def _serve(queue: SimpleQueue[_Job]) -> None:
    while True:
        queue.get().run()


class _Crew:
    def __init__(self) -> None:
        self._queue: SimpleQueue[_Job] = SimpleQueue()
        self._hired = 0
        self._hiring = threading.Lock()

    def offer(self, job: _Job, helpers: int) -> None:
        if self._hired < helpers:
            with self._hiring:
                while self._hired < helpers:
                    name = f"sparse-{self._hired + 1}"
                    threading.Thread(target=_serve, args=(self._queue,), name=name, daemon=True).start()
                    self._hired += 1
        self._queue.put(job)


_crew = _Crew()
WORTH_A_THREAD = 8e6
"""Multiplications and additions that take a thread longer than a helper takes to join in: some 60 microseconds."""
_OPERATIONS_A_NUMBER = 40
"""In the time in which a number is read and written."""


def crew_for(threads: int, operations: float = 0, numbers: int = 0) -> int:
    """Return how many threads are worth their while.

    Args:
        threads: how many there may be.
        operations: multiplications and additions to do.
        numbers: float32 numbers to read and write.
    """
    work = operations + _OPERATIONS_A_NUMBER * numbers
    return max(1, min(threads, int(work // WORTH_A_THREAD)))


def _forget_the_parents_threads() -> None:
    global _crew
    _crew = _Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents_threads)


def share(work: Callable[[], None], threads: int) -> None:
    """Run ``work`` in this thread and in up to ``threads - 1`` helpers, and return when all of them have returned.

    Args:
        work: claims items of a common list until none is left, so it does not matter how often it is run.
        threads: how many run it at most.
    """
    jobs = [_Job(work) for _ in range(threads - 1)]
    for job in jobs:
        _crew.offer(job, threads - 1)
    try:
        work()
    finally:
        for job in jobs:
            job.withdraw_or_wait()
