"""Several batches at once, each in a thread of its own, in the order in which they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from mlreco.sparse import Division

T = TypeVar("T")
R = TypeVar("R")
_WAITING = 2
"""Items taken for every place: one that is worked on, and one so that nobody waits for the slowest of all."""


def side_by_side(
    work: Callable[[T], R], items: Iterable[T], places: int, size: Callable[[T], int], room: int
) -> Iterator[R]:
    """Yield what is made of the items, in their order.

    Those at work at the same time divide torch's threads among themselves in the engine; torch's own operations have
    one thread each, for every thread that calls them would wake a team of its own.

    Args:
        work: makes something of an item; threads call it at the same time, unless there is one place alone.
        items: iterated here, a few ahead of what is yielded; an exception comes when what was taken before is dropped.
        places: how many threads work.
        size: tells how much of the room an item needs until its result is yielded.
        room: how much there is; an item that needs more has it for itself.
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

    pool = ThreadPoolExecutor(places, "network", torch.set_num_threads, (1,))
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
        torch.set_num_threads(threads)  # for threads that begin later: torch has one number for all of these
