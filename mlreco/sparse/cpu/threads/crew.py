"""The crew: helper threads that share the work of kernels. Any number of Python threads may call at once.

A kernel's work is cut into items (blocks of rows). Threads claim the next item from an atomic counter in the job. A
caller opens its job on the board, works on it itself, closes it when no item is left, and waits for the helpers that
still work on one of its items, never for those that are busy with another caller's job. A job may also be opened, left
to the helpers while the caller does something else, and finished later.

Helpers run compiled code, without the interpreter lock. After its last job a helper looks for another for
``_STAY_AWAKE`` seconds, since a network's next layer usually comes within that time; then it sleeps until a caller
wakes it. So no thread spins in a process that computes nothing, for example one that is halted in a debugger.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, cast

import numpy as np
from numba import types

from mlreco.sparse.cpu.codegen.posix import POSIX
from mlreco.sparse.cpu.codegen.shared_memory import (
    call,
    cycles,
    pause,
    read,
    swap_if,
    yield_processor,
)
from mlreco.sparse.cpu.threads.board import (
    ASLEEP,
    AWAKE,
    BOARD_BYTES,
    RECORD_BYTES,
    WAKEUP,
    WORTH,
    close_job,
    help_somebody,
    is_wanted,
    open_job,
)
from mlreco.sparse.cpu.threads.wakeup import make_wakeup, sleep_while, wake
from mlreco.sparse.native.jit import SharedKernel, kernel
from mlreco.sparse.native.job import Job
from mlreco.sparse.native.memory import address, aligned_empty

if TYPE_CHECKING:
    from numba.core.dispatcher import Dispatcher

_MOST_HELPERS = 62
_STAY_AWAKE = 2e-4
"""Seconds for which a helper looks for another job before it sleeps."""
_BETWEEN_LOOKS = 2e-3
"""Seconds for which it sleeps between two looks on systems where it cannot be woken."""
WORTH_A_THREAD = 2_000_000
"""Multiplications and additions that make one more thread worth while: they take longer than the 15 microseconds or so
that a helper needs to join."""
OPERATIONS_A_NUMBER = 40
"""Multiplications and additions that take as long as reading and writing a float32."""
_PLACES_AND_TURNS = (types.int64, types.int64, types.int64)
PAUSES_BEFORE_YIELDING = 32
"""Turns of a helper's waiting loop between two calls of ``sched_yield``."""
_CYCLES_LOST = 500_000
"""Cycles of the processor. If ``sched_yield`` takes longer, another thread has used the processor meanwhile. The helper
then goes to sleep, because the scheduler prefers a thread that is woken to one that has been spinning."""


@kernel
def _pauses(turns: int) -> None:
    for _ in range(turns):
        pause()


@kernel
def _look_for_work(board: int, record: int, turns: int) -> None:
    """Work on open jobs; return after ``turns`` looks without finding one, or when others need the processor."""
    waited = 0
    while waited < turns:
        if help_somebody(board, record, True):
            waited = 0
        else:
            pause()
            waited += 1
            if waited % PAUSES_BEFORE_YIELDING == 0:
                before = cycles()
                yield_processor()
                if cycles() - before > _CYCLES_LOST:
                    return


@kernel
def _serve(board: int, record: int, turns: int) -> None:
    """Work on open jobs for ever; sleep after ``turns`` looks without finding one."""
    while True:
        _look_for_work(board, record, turns)
        swap_if(record, AWAKE, ASLEEP)
        if is_wanted(board, record):  # a job was opened before this helper was marked as asleep: nobody will wake it
            swap_if(record, ASLEEP, AWAKE)
        else:
            sleep_while(record + WAKEUP, record, ASLEEP)


@kernel
def open_to_helpers(function: int, job: int, board: int, crew: int, helpers: int, is_queue: bool = False) -> int:
    """Open a job to ``helpers`` helpers and wake those that sleep; return its slot, 0 if no slot is free."""
    slot = open_job(board, function, job, helpers, is_queue) if helpers > 0 else 0
    if slot:
        for helper in range(helpers):
            record = crew + RECORD_BYTES * helper
            if swap_if(record, ASLEEP, AWAKE):
                wake(record + WAKEUP)
    return slot


@kernel
def work_and_close(function: int, job: int, slot: int) -> None:
    """Work on a job until no item is left, and return when no helper works on it any more."""
    call(function, job, 0)
    if slot:
        close_job(slot)


@kernel
def work_together(function: int, job: int, board: int, crew: int, helpers: int) -> None:
    """Work on a job in this thread and in up to ``helpers`` helpers; ``board`` and ``crew`` as from ``crew_places``."""
    work_and_close(function, job, open_to_helpers(function, job, board, crew, helpers))


class _Crew:
    """The helpers of a process.

    Attributes:
        places: addresses of the board and of the helpers' records.
        hired: how many helpers have been started.
    """

    def __init__(self) -> None:
        self._board = aligned_empty((BOARD_BYTES,), np.uint8)
        self._records = aligned_empty((_MOST_HELPERS, RECORD_BYTES), np.uint8)
        self._board[:] = 0
        self._records[:] = 0
        self._board[WORTH : WORTH + 8].view(np.int64)[0] = WORTH_A_THREAD
        self.places = address(self._board), address(self._records)
        self.hired = 0
        self._hiring = threading.Lock()

    def hire(self, helpers: int) -> None:
        """Start helpers until there are so many."""
        with self._hiring:
            turns = _turns_in(_STAY_AWAKE)
            for served in (_look_for_work, _serve):
                cast("Dispatcher", served).compile(_PLACES_AND_TURNS)
            while self.hired < helpers:
                make_wakeup(address(self._records[self.hired]) + WAKEUP)
                name = f"sparse-{self.hired + 1}"
                arguments = (self._board, self._records, self.hired, turns)
                threading.Thread(target=_help, args=arguments, name=name, daemon=True).start()
                self.hired += 1


def _help(board: np.ndarray, records: np.ndarray, number: int, turns: int) -> None:
    """Run a helper thread. The arguments keep board and records alive while it runs, also during interpreter exit."""
    places = address(board), address(records[number])
    if POSIX:
        _serve(*places, turns)
    while True:
        _look_for_work(*places, turns)
        time.sleep(_BETWEEN_LOOKS)


def _turns_in(seconds: float) -> int:
    """Return how many turns of a waiting loop take so long on this processor."""
    trial = 1000
    _pauses(trial)
    started = time.perf_counter()
    _pauses(trial)
    return max(1, int(trial * seconds / max(time.perf_counter() - started, 1e-9)))


_crew = _Crew()


@kernel
def worth(board: int, helpers: int, operations: float) -> int:
    """Return how many of ``helpers`` helpers are worth waking for so many multiplications and additions."""
    return max(0, min(helpers, int(operations / read(board + WORTH)) - 1))


def threads_worth(threads: int, operations: float = 0, numbers: int = 0) -> int:
    """Return how many threads are worth using for a job, the caller's included.

    Args:
        threads: how many there may be.
        operations: multiplications and additions to do.
        numbers: float32 numbers to read and write.
    """
    return 1 + worth(_crew.places[0], threads - 1, float(operations + OPERATIONS_A_NUMBER * numbers))


def _forget_the_parents_threads() -> None:
    global _crew
    _crew = _Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents_threads)


def share(work: SharedKernel, job: Job, threads: int) -> None:
    """Run a kernel in this thread and in up to ``threads - 1`` helpers, and return when all of them have returned.

    Args:
        work: claims items of the job until none is left, so it may run in any number of threads. They are numbered from
            0; each number below ``threads`` occurs at most once.
        job: the arguments of ``work``.
        threads: how many run it at most.
    """
    work_together(work.address, job.address, *crew_places(threads))


def helpers_of(threads: int) -> int:
    """Return how many helpers there are beside a calling thread."""
    return threads - 1 if threads <= _MOST_HELPERS else _MOST_HELPERS


def crew_places(threads: int) -> tuple[int, int, int]:
    """Return the addresses of the board and of the helpers' records, and how many helpers have been started."""
    helpers = threads - 1 if threads <= _MOST_HELPERS else _MOST_HELPERS
    if _crew.hired < helpers:
        _crew.hire(helpers)
    board, records = _crew.places
    return board, records, helpers


def crew_fields(threads: int) -> dict[str, int]:
    """Return the values of ``crew_places`` as fields of a job."""
    board, crew, helpers = crew_places(threads)
    return {"board": board, "crew": crew, "helpers": helpers}
