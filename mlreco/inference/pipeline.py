"""Reading, network and finishing overlap: each runs in its own thread, and events keep their order."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from mlreco.compiling import Stopwatch
from mlreco.thread_pools import background_thread, thread_pool

T = TypeVar("T")
_END = object()
_TURN = 1e-4
"""Interval of thread switches, in seconds, see `sys.setswitchinterval`."""


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Let the interpreter switch threads often inside the block.

    A network releases the interpreter's lock in every layer and needs it again for the next layer. With Python's
    default interval it may wait 5 ms each time for a thread that reads or writes.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _TURN))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def timed(items: Iterable[T]) -> Iterator[tuple[T, float]]:
    """Yield every item with the seconds that it took, without those for compiling kernels."""
    iterator = iter(items)
    while True:
        watch = Stopwatch()
        try:
            item = next(iterator)
        except StopIteration:
            return
        yield item, watch.lap()


def prefetched(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yield the items, which a thread prepares in advance.

    Args:
        items: iterated in the thread; an exception there is raised here, after the items before it.
        depth: how many items may wait.
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[Any, BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((_END, None))
        except BaseException as error:  # handed to the consumer, whatever it is
            put((_END, error))

    thread = background_thread(produce, "prefetch")
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join()


class InOrder:
    """A thread that makes calls in the order in which they were submitted; at most ``depth`` of them wait.

    An exception of a call is raised by a later ``submit`` or on leaving the ``with`` block; calls after it are dropped.

    Args:
        depth: how many calls may wait.
    """

    def __init__(self, depth: int = 4) -> None:
        self._pool = thread_pool(1, "finish")
        self._calls: deque[Future] = deque()
        self._depth = depth

    def submit(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Queue a call; waits while too many are queued."""
        self._calls.append(self._pool.submit(function, *arguments))
        while len(self._calls) > self._depth or (self._calls and self._calls[0].done()):
            self._calls.popleft().result()

    def wait(self) -> None:
        """Wait until all calls have been made, and raise the exception of a call that failed."""
        while self._calls:
            self._calls.popleft().result()

    def __enter__(self) -> InOrder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._pool.shutdown(cancel_futures=True)
