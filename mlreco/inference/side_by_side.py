"""Several batches in parallel, each in a thread of its own; the results keep the order of the batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
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
        size: returns how much an item counts towards ``room`` until its result is yielded.
        room: greatest sum of the sizes of the items in work; an item that is larger than that is processed alone.
    """
    if places == 1:
        yield from map(work, items)
        return
    threads = torch.get_num_threads()
    division, running, taken = Division(threads), deque[tuple[Future[R], int]](), 0

    def run(item: T) -> R:
        with division.part():
            return work(item)

    def finished() -> R:
        nonlocal taken
        future, needed = running[0]
        result = future.result()
        running.popleft()
        taken -= needed
        return result

    pool = thread_pool(places, "network", partial(torch.set_num_threads, 1))
    try:
        for item in items:
            needed = size(item)
            while running and (len(running) == _WAITING * places or taken + needed > room or running[0][0].done()):
                yield finished()
            taken += needed
            division.parts = min(places, len(running) + 1)
            running.append((pool.submit(run, item), needed))
        while running:
            division.parts = min(places, len(running))
            yield finished()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # torch uses this number in threads that start later
