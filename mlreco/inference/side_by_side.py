"""Several batches in parallel, each in a thread of its own; the results keep the order of the batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

from mlreco.sparse import Division
from mlreco.thread_pools import thread_pool

T = TypeVar("T")
R = TypeVar("R")
_WAITING = 2
"""Items taken in advance for each thread: its current one and one more, so that no thread waits for the slowest one."""


def side_by_side(
    work: Callable[[T], R], items: Iterable[T], places: int, size: Callable[[T], int], room: int
) -> Iterator[R]:
    """Yield the results of the items, in the order of the items, with several in work at a time.

    In the sparse engine the items in work share torch's number of threads. Torch's own operations run on one thread
    each, since every thread that calls torch would otherwise start a team of OpenMP threads of its own.

    Args:
        work: returns the result of an item; called from several threads at once where ``places`` is above 1.
        items: iterated in the calling thread, a few ahead of the results. If it raises, results of items taken before
            are dropped.
        places: number of threads.
        size: returns how much an item counts towards ``room`` while it is in work.
        room: greatest sum of the sizes of the items in work; an item that is larger than that is processed alone.
    """
    if places == 1:
        yield from map(work, items)
        return
    threads = torch.get_num_threads()
    workshop, running = _Workshop(room, Division(threads)), deque[Future[R]]()

    def run(item: T) -> R:
        with workshop.part(size(item)):
            return work(item)

    pool = thread_pool(places, "network", partial(torch.set_num_threads, 1))
    try:
        for item in items:
            while running and (len(running) == _WAITING * places or running[0].done()):
                yield running.popleft().result()
            running.append(pool.submit(run, item))
        while running:
            yield running.popleft().result()
    finally:
        workshop.close()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # torch uses this number in threads that start later


class _Workshop:
    """Room for items in work, which divide the threads of the engine among them.

    Args:
        room: greatest sum of the sizes of the items.
        division: of the threads.
    """

    def __init__(self, room: int, division: Division) -> None:
        self._room = room
        self._division = division
        self._sizes: list[int] = []
        self._changed = threading.Condition()
        self._closed = False

    @contextmanager
    def part(self, size: int) -> Iterator[None]:
        """Wait for room, and have a part of the threads inside the block.

        Raises:
            CancelledError: nobody wants the result any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._sizes or sum(self._sizes) + size <= self._room)
            if self._closed:
                raise CancelledError
            self._take(size)
        try:
            with self._division.part():
                yield
        finally:
            with self._changed:
                self._give(size)

    def close(self) -> None:
        """Begin with none of the items that wait for room."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, size: int) -> None:
        self._sizes.append(size)
        self._division.parts = len(self._sizes)

    def _give(self, size: int) -> None:
        self._sizes.remove(size)
        self._division.parts = max(1, len(self._sizes))
        self._changed.notify_all()
