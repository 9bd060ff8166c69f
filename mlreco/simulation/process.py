"""The interface to a worker process, which is replaced if it dies."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlreco.errors import UserError
from mlreco.pipes import pipes_of
from mlreco.simulation.geant4 import require_geant4
from mlreco.simulation.options import Options
from mlreco.simulation.worker import Answer

ATTEMPTS = 3
"""How often a worker may die over the same event. An event depends on nothing but its options and number, so that a new
worker makes the same one; dying over it again means that the event itself is the reason."""

STARTS = 5
"""How often a worker may die while Geant4 starts, which has nothing to do with an event."""

_DEATHS = (BrokenPipeError, EOFError, pickle.UnpicklingError)
"""Exceptions of the communication with a worker that has died."""

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS_TO_END = 5


class SimulationProcess:
    """Makes events in a process of its own, which starts at the first one.

    Copies in forked or spawned processes start workers of their own.

    Args:
        options: what is simulated.

    Attributes:
        deaths: workers that died and were replaced.

    Raises:
        UserError: Geant4 is not installed.
    """

    def __init__(self, options: Options) -> None:
        require_geant4()
        self.options = options
        self.deaths = 0
        self._worker: subprocess.Popen | None = None
        self._owner = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_worker": None}

    def event(self, number: int) -> Any:
        """Return a `SimulatedEvent`.

        Raises:
            UserError: Geant4 dies over the event, or when it starts, again and again.
            RuntimeError: an exception in the worker, with its traceback.
        """
        for _ in range(ATTEMPTS):
            worker = self._running()
            try:
                _send(worker, number)
                return _content(worker)
            except _DEATHS:
                ended = self._bury()
        raise UserError(f"event {number} of seed {self.options.seed}: Geant4 died over it {ATTEMPTS} times ({ended})")

    def close(self) -> None:
        """End the worker; the next event starts another."""
        self._end()

    def _running(self) -> subprocess.Popen:
        """Return a worker whose Geant4 has started."""
        if self._owner != os.getpid():
            self._worker = None  # it belongs to the process from which this one was forked
        if self._worker is not None:
            return self._worker
        self._owner = os.getpid()
        for _ in range(STARTS):
            self._worker = _start()
            try:
                _send(self._worker, self.options)
                _content(self._worker)
                return self._worker
            except _DEATHS:
                ended = self._bury()
        raise UserError(f"Geant4 died {STARTS} times while it started ({ended})")

    def _bury(self) -> str:
        """Count a worker that died, and return how it died."""
        self.deaths += 1
        return self._end()

    def _end(self) -> str:
        """Close the worker's input, wait for its end and return how it ended."""
        worker, self._worker = self._worker, None
        if worker is None or self._owner != os.getpid():
            return "not started"
        for pipe in pipes_of(worker):
            with contextlib.suppress(BrokenPipeError):  # the rest need not be sent to a dead worker
                pipe.close()
        try:
            code = worker.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            worker.kill()
            code = worker.wait()
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _start() -> subprocess.Popen:
    """Start a worker that imports this package, has one thread, and ignores Ctrl-C."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-c", "from mlreco.simulation.worker import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )


def _send(worker: subprocess.Popen, message: Any) -> None:
    to_worker, _ = pipes_of(worker)
    pickle.dump(message, to_worker, protocol=5)
    to_worker.flush()


def _content(worker: subprocess.Popen) -> Any:
    _, from_worker = pipes_of(worker)
    answer: Answer = pickle.load(from_worker)
    if answer.mistake:
        raise UserError(answer.mistake)
    if answer.bug:
        raise RuntimeError(f"in a process that simulates:\n{answer.bug}")
    return answer.content
