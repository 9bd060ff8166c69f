"""Helper threads that share one call's work items; any number of Python threads may call at once.

Kernels claim items from an atomic counter, so whoever is free takes the next one. The calling thread works too and
takes back what no helper has begun, so a call never waits for helpers that are busy with another call.

A helper waits for work in compiled code, without the interpreter lock: awake for a short time, in which a network's
next layer usually comes, then asleep until somebody rings. Each has memory of its own in which callers leave work.
"""

from __future__ import annotations

import os
import threading
import time

import numpy as np
from numba import types

from mlreco.models.layers.sparse.cpu.bell import BELL_BYTES, POSIX, make_bell, ring, sleep_while
from mlreco.models.layers.sparse.cpu.jit import SharedKernel, kernel
from mlreco.models.layers.sparse.cpu.memory import address, aligned_empty
from mlreco.models.layers.sparse.cpu.shared_memory import (
    call,
    cycles,
    give_way,
    integers_at,
    let_others_run,
    pause,
    read,
    swap_if,
    write,
)

_FREE, _TAKEN, _POSTED, _RUNNING, _DONE, _ASLEEP = range(6)
_FUNCTION, _JOB, _WORKER = 1, 2, 3
_BELL = 64
_DESK = _BELL + BELL_BYTES
"""Bytes of a helper's memory: a line with its state and its work, and its bell."""
_MOST_HELPERS = 62
_AWAKE = 2e-4
"""Seconds that a helper waits for more work before it sleeps."""
_BETWEEN_LOOKS = 2e-3
"""Seconds that it sleeps where nobody can wake it."""
_DESK_AND_TURNS = (types.int64, types.int64)
_POLITE = 32
"""Pauses of a waiting helper after which others that wait for the processor get it."""
_PUSHED_ASIDE = 500_000
"""Cycles after which others have had it: the helper sleeps then, for the system hurries to whom it wakes."""
_PATIENCE = 2000
"""Pauses of a caller that waits for a helper, before others get the processor."""


@kernel
def _pauses(turns: int) -> None:
    for _ in range(turns):
        pause()


@kernel
def _look_for_work(desk: int, turns: int) -> None:
    """Do the work left at a desk until none comes for so many pauses, or others need the processor."""
    waited = 0
    while waited < turns:
        if read(desk) == _POSTED and swap_if(desk, _POSTED, _RUNNING):
            post = integers_at(desk)
            call(post[_FUNCTION], post[_JOB], post[_WORKER])
            write(desk, _DONE)
            waited = 0
        else:
            pause()
            waited += 1
            if waited % _POLITE == 0:
                before = cycles()
                let_others_run()
                if cycles() - before > _PUSHED_ASIDE:
                    return


@kernel
def _serve(desk: int, turns: int) -> None:
    """Do the work left at a desk for ever, asleep where none has come for so many pauses."""
    while True:
        _look_for_work(desk, turns)
        if swap_if(desk, _FREE, _ASLEEP):
            sleep_while(desk + _BELL, desk, _ASLEEP)


@kernel
def _await(desk: int) -> None:
    """Wait until a helper is done."""
    waited = 0
    while read(desk) != _DONE:
        pause()
        waited += 1
        if waited > _PATIENCE:
            give_way()
    write(desk, _FREE)


@kernel
def _work(function: int, job: int, desks: int, helpers: int) -> None:
    """Leave a job to the helpers that have no other, work on it, and return when nobody works on it any more."""
    taken = 0
    for helper in range(helpers):
        desk = desks + _DESK * helper
        asleep = swap_if(desk, _ASLEEP, _TAKEN)
        if asleep or swap_if(desk, _FREE, _TAKEN):
            post = integers_at(desk)
            post[_FUNCTION], post[_JOB], post[_WORKER] = function, job, helper + 1
            write(desk, _POSTED)
            taken |= 1 << helper
            if asleep:
                ring(desk + _BELL)
    call(function, job, 0)
    for helper in range(helpers):
        desk = desks + _DESK * helper
        if (taken >> helper) & 1 and not swap_if(desk, _POSTED, _FREE):
            _await(desk)


class _Crew:
    def __init__(self) -> None:
        self._desks = aligned_empty((_MOST_HELPERS, _DESK), np.uint8)
        self._desks[:] = 0
        self._hired = 0
        self._hiring = threading.Lock()

    def work(self, function: int, job: int, helpers: int) -> None:
        if self._hired < helpers:
            self._hire(helpers)
        _work(function, job, address(self._desks), helpers)

    def _hire(self, helpers: int) -> None:
        with self._hiring:
            turns = _turns_in(_AWAKE)
            _look_for_work.compile(_DESK_AND_TURNS)
            _serve.compile(_DESK_AND_TURNS)
            while self._hired < helpers:
                make_bell(address(self._desks[self._hired]) + _BELL)
                name = f"sparse-{self._hired + 1}"
                arguments = (self._desks, self._hired, turns)
                threading.Thread(target=_help, args=arguments, name=name, daemon=True).start()
                self._hired += 1


def _help(desks: np.ndarray, number: int, turns: int) -> None:
    """Be a helper; the desks stay as long as one works at them, also when the interpreter ends."""
    desk = address(desks[number])
    if POSIX:
        _serve(desk, turns)
    while True:
        _look_for_work(desk, turns)
        time.sleep(_BETWEEN_LOOKS)


def _turns_in(seconds: float) -> int:
    """Return how many pauses take that long on this processor."""
    trial = 1000
    _pauses(trial)
    started = time.perf_counter()
    _pauses(trial)
    return max(1, int(trial * seconds / max(time.perf_counter() - started, 1e-9)))


_crew = _Crew()
WORTH_A_THREAD = 2e6
"""Multiplications and additions that take a thread longer than a helper takes to join in: some 15 microseconds."""
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


def share(work: SharedKernel, job: np.ndarray, threads: int) -> None:
    """Run a kernel in this thread and in up to ``threads - 1`` helpers, and return when all of them have returned.

    Args:
        work: claims items of the job until none is left, so it does not matter how often it is run; workers are
            numbered from 0, each number below ``threads`` occurs at most once.
        job: the structure that ``work`` reads; it must stay unchanged and so must the memory it points to.
        threads: how many run it at most.
    """
    _crew.work(work.address, address(job), min(threads - 1, _MOST_HELPERS))
