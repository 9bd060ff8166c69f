"""Helper threads that share the work items of calls; any number of Python threads may call at once.

Kernels claim items from an atomic counter, so whoever is free takes the next one. A call opens its job on a board where
helpers find it, works on it too, closes it and waits only for the helpers inside; so it never waits for helpers that
are busy with another call. A job may also be begun, left to the helpers while the caller does something else, and
finished later.

A helper waits for work in compiled code, without the interpreter lock: awake for a short time, in which a network's
next layer usually comes, then asleep until somebody rings.
"""

from __future__ import annotations

import os
import threading
import time

import numpy as np
from numba import types

from mlreco.sparse.cpu.codegen.shared_memory import (
    call,
    cycles,
    let_others_run,
    pause,
    read,
    swap_if,
)
from mlreco.sparse.cpu.threads.board import (
    ASLEEP,
    AWAKE,
    BELL,
    BOARD_BYTES,
    DESK_BYTES,
    WORTH,
    close_job,
    help_somebody,
    is_wanted,
    open_job,
)
from mlreco.sparse.cpu.threads.wakeup import POSIX, make_bell, ring, sleep_while
from mlreco.sparse.native.jit import SharedKernel, kernel
from mlreco.sparse.native.job import Job
from mlreco.sparse.native.memory import address, aligned_empty

_MOST_HELPERS = 62
_STAY_AWAKE = 2e-4
"""Seconds that a helper waits for more work before it sleeps."""
_BETWEEN_LOOKS = 2e-3
"""Seconds that it sleeps where nobody can wake it."""
WORTH_A_THREAD = 2_000_000
"""Multiplications and additions that take a thread longer than a helper takes to join in: some 15 microseconds."""
OPERATIONS_A_NUMBER = 40
"""In the time in which a number is read and written."""
_PLACES_AND_TURNS = (types.int64, types.int64, types.int64)
POLITE = 32
"""Pauses of a waiting helper after which others that wait for the processor get it."""
_PUSHED_ASIDE = 500_000
"""Cycles after which others have had it: the helper sleeps then, for the system hurries to whom it wakes."""


@kernel
def _pauses(turns: int) -> None:
    for _ in range(turns):
        pause()


@kernel
def _look_for_work(board: int, desk: int, turns: int) -> None:
    """Help until no job is open for so many pauses, or others need the processor."""
    waited = 0
    while waited < turns:
        if help_somebody(board, desk, True):
            waited = 0
        else:
            pause()
            waited += 1
            if waited % POLITE == 0:
                before = cycles()
                let_others_run()
                if cycles() - before > _PUSHED_ASIDE:
                    return


@kernel
def _serve(board: int, desk: int, turns: int) -> None:
    """Help for ever, asleep where no job has been open for so many pauses."""
    while True:
        _look_for_work(board, desk, turns)
        swap_if(desk, AWAKE, ASLEEP)
        if is_wanted(board, desk):  # who opened a job just before has not seen that this helper sleeps
            swap_if(desk, ASLEEP, AWAKE)
        else:
            sleep_while(desk + BELL, desk, ASLEEP)


@kernel
def open_to_helpers(function: int, job: int, board: int, desks: int, helpers: int, is_queue: bool = False) -> int:
    """Open a job to so many helpers and wake those that sleep; return its slot, 0 where nobody can help."""
    slot = open_job(board, function, job, helpers, is_queue) if helpers > 0 else 0
    if slot:
        for helper in range(helpers):
            desk = desks + DESK_BYTES * helper
            if swap_if(desk, ASLEEP, AWAKE):
                ring(desk + BELL)
    return slot


@kernel
def work_and_close(function: int, job: int, slot: int) -> None:
    """Work on a job, and return when nobody works on it any more."""
    call(function, job, 0)
    if slot:
        close_job(slot)


@kernel
def work_together(function: int, job: int, board: int, desks: int, helpers: int) -> None:
    """Work on a job in this thread and so many helpers, from a kernel; ``crew_places`` tells the last three numbers."""
    work_and_close(function, job, open_to_helpers(function, job, board, desks, helpers))


class _Crew:
    def __init__(self) -> None:
        self._board = aligned_empty((BOARD_BYTES,), np.uint8)
        self._desks = aligned_empty((_MOST_HELPERS, DESK_BYTES), np.uint8)
        self._board[:] = 0
        self._desks[:] = 0
        self._board[WORTH : WORTH + 8].view(np.int64)[0] = WORTH_A_THREAD
        self._places = address(self._board), address(self._desks)
        self._hired = 0
        self._hiring = threading.Lock()

    def places(self, helpers: int) -> tuple[int, int]:
        """Return where board and desks are, so many helpers hired."""
        if self._hired < helpers:
            self._hire(helpers)
        return self._places

    def _hire(self, helpers: int) -> None:
        with self._hiring:
            turns = _turns_in(_STAY_AWAKE)
            _look_for_work.compile(_PLACES_AND_TURNS)
            _serve.compile(_PLACES_AND_TURNS)
            while self._hired < helpers:
                make_bell(address(self._desks[self._hired]) + BELL)
                name = f"sparse-{self._hired + 1}"
                arguments = (self._board, self._desks, self._hired, turns)
                threading.Thread(target=_help, args=arguments, name=name, daemon=True).start()
                self._hired += 1


def _help(board: np.ndarray, desks: np.ndarray, number: int, turns: int) -> None:
    """Be a helper; board and desks stay as long as one works at them, also when the interpreter ends."""
    places = address(board), address(desks[number])
    if POSIX:
        _serve(*places, turns)
    while True:
        _look_for_work(*places, turns)
        time.sleep(_BETWEEN_LOOKS)


def _turns_in(seconds: float) -> int:
    """Return how many pauses take that long on this processor."""
    trial = 1000
    _pauses(trial)
    started = time.perf_counter()
    _pauses(trial)
    return max(1, int(trial * seconds / max(time.perf_counter() - started, 1e-9)))


_crew = _Crew()


@kernel
def worth(board: int, helpers: int, operations: float) -> int:
    """Return how many of so many helpers are worth their while for so many multiplications and additions."""
    return max(0, min(helpers, np.int64(operations / read(board + WORTH)) - 1))


def crew_for(threads: int, operations: float = 0, numbers: int = 0) -> int:
    """Return how many threads are worth their while.

    Args:
        threads: how many there may be.
        operations: multiplications and additions to do.
        numbers: float32 numbers to read and write.
    """
    return 1 + worth(_crew.places(0)[0], threads - 1, float(operations + OPERATIONS_A_NUMBER * numbers))


def _forget_the_parents_threads() -> None:
    global _crew
    _crew = _Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents_threads)


def share(work: SharedKernel, job: Job, threads: int) -> None:
    """Run a kernel in this thread and in up to ``threads - 1`` helpers, and return when all of them have returned.

    Args:
        work: claims items of the job until none is left, so it does not matter how often it is run; workers are
            numbered from 0, each number below ``threads`` occurs at most once.
        job: what ``work`` reads.
        threads: how many run it at most.
    """
    work_together(work.address, job.address, *crew_places(threads))


def helpers_of(threads: int) -> int:
    """Return how many helpers there are beside a calling thread."""
    return min(threads - 1, _MOST_HELPERS)


def crew_places(threads: int) -> tuple[int, int, int]:
    """Return where board and desks are, and how many helpers there are beside a calling thread, hired already."""
    helpers = helpers_of(threads)
    return *_crew.places(helpers), helpers


def crew_fields(threads: int) -> dict[str, int]:
    """Return the same as fields of a job."""
    return dict(zip(("board", "desks", "helpers"), crew_places(threads), strict=True))
