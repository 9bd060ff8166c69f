"""Many events from several worker processes, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from mlreco.simulation.options import Options
from mlreco.simulation.process import SimulationProcess
from mlreco.simulation.products import SimulatedEvent

_AHEAD = 4
"""Events in work or waiting for each worker, enough that no worker waits for a slow event."""


class Pool:
    """Worker processes, each with a thread that speaks to it and calls no compiled function.

    Args:
        options: what is simulated.
        workers: number of processes.

    Raises:
        UserError: Geant4 is not installed.
    """

    def __init__(self, options: Options, workers: int) -> None:
        self.workers = workers
        self._processes = [SimulationProcess(options) for _ in range(workers)]
        self._idle = list(self._processes)
        self._mine = threading.local()

    def __enter__(self) -> Pool:
        self._threads = ThreadPoolExecutor(self.workers, initializer=self._take_process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.close()

    @property
    def deaths(self) -> int:
        """Workers that died and were replaced."""
        return sum(process.deaths for process in self._processes)

    def events(self, numbers: Iterable[int]) -> Iterator[SimulatedEvent]:
        """Yield events in order, a bounded number of them ahead of the consumer.

        Raises:
            UserError: Geant4 dies over an event again and again.
        """
        waiting: deque[Future[SimulatedEvent]] = deque()
        for number in numbers:
            waiting.append(self._threads.submit(self._event, number))
            if len(waiting) > _AHEAD * self.workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _take_process(self) -> None:
        self._mine.process = self._idle.pop()

    def _event(self, number: int) -> SimulatedEvent:
        return self._mine.process.event(number)
