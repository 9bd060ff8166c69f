"""A queue of calls in shared memory: a helper makes them in their order while the caller still appends others.

Python prepares the next call (checks shapes, finds memory) while the last one runs. Whoever works the queue off, a
helper or, where none has come, the caller itself, shares each call's job with the other helpers. At the end the caller
waits until all calls have been made, and helps with the job that is open then.
"""

from __future__ import annotations

from mlreco.sparse.cpu.codegen.shared_memory import (
    integers_at,
    nap,
    pause,
    read,
    sleep_for,
    swap_if,
    write,
    yield_processor,
)
from mlreco.sparse.cpu.threads.board import PAUSES_BEFORE_NAPPING, RECORD_BYTES, close_job, help_somebody
from mlreco.sparse.cpu.threads.crew import PAUSES_BEFORE_YIELDING, open_to_helpers, work_together
from mlreco.sparse.native.jit import SharedKernel, kernel

_LINE = 64
_WRITTEN, _DONE, _CLOSED, _TAKEN = 0, _LINE, 2 * _LINE, 3 * _LINE
"""Words that change, each on a line of its own: jobs written down (the first word of the memory), jobs done, whether no
more come, and whether somebody works the queue off."""
_BOARD, _CREW, _SLOT = 4 * _LINE, 4 * _LINE + 8, 4 * _LINE + 16
_RECORD = 5 * _LINE
"""The caller's record, for when it helps."""
_JOBS = _RECORD + -(-RECORD_BYTES // _LINE) * _LINE
_JOB_BYTES = 3 * 8
_PAUSES_BEFORE_SLEEPING = 20_000
"""Turns of the waiting loop, some hundred microseconds, after which a helper sleeps between two looks at the queue: its
caller does something else, or stands in a debugger."""
_SHORTEST_NAP, _LONGEST_NAP = 50, 10_000
"""Microseconds that it sleeps at first and at most; each time twice as long."""
LENGTH = 256
"""Jobs that may wait."""
QUEUE_BYTES = _JOBS + LENGTH * _JOB_BYTES
HEAD_WORDS = _JOBS // 8
"""Int64 before the jobs, 0 in a queue that has not been opened; to close that does nothing."""


@kernel
def _make_calls(queue: int, upto: int) -> None:
    """Do jobs until so many are done; only whoever has taken the queue may."""
    done = read(queue + _DONE)
    while done < upto:
        job = integers_at(queue + _JOBS + _JOB_BYTES * (done % LENGTH))
        work_together(job[0], job[1], read(queue + _BOARD), read(queue + _CREW), job[2])
        done += 1
        write(queue + _DONE, done)


def _work_off_queue(queue: int, _: int) -> None:
    """Do jobs as they come, until no more do; somebody else has taken the queue, or nobody."""
    if not swap_if(queue + _TAKEN, 0, 1):
        return
    waited, nap_length = 0, _SHORTEST_NAP
    while True:
        is_closed, written = read(queue + _CLOSED), read(queue + _WRITTEN)
        if read(queue + _DONE) < written:
            _make_calls(queue, written)
            waited, nap_length = 0, _SHORTEST_NAP
        elif is_closed:
            return
        elif waited < _PAUSES_BEFORE_SLEEPING:
            pause()
            waited += 1
            if waited % PAUSES_BEFORE_YIELDING == 0:
                yield_processor()
        else:
            sleep_for(nap_length)
            nap_length = min(2 * nap_length, _LONGEST_NAP)


work_off_queue = SharedKernel(_work_off_queue)


@kernel
def open_queue(queue: int, serve: int, board: int, crew: int, helpers: int) -> None:
    """Open a new queue and call a helper, if there is any; ``serve`` is the address of its kernel."""
    write(queue + _BOARD, board)
    write(queue + _CREW, crew)
    write(queue + _SLOT, open_to_helpers(serve, queue, board, crew, min(1, helpers), True))


@kernel
def append_call(queue: int, function: int, job: int, helpers: int) -> int:
    """Add a job for so many helpers and return how many are done; no more than ``LENGTH`` may wait."""
    written = read(queue + _WRITTEN)
    entry = integers_at(queue + _JOBS + _JOB_BYTES * (written % LENGTH))
    entry[0], entry[1], entry[2] = function, job, helpers
    write(queue + _WRITTEN, written + 1)
    return read(queue + _DONE)


@kernel
def help_until(queue: int, upto: int) -> int:
    """Return how many jobs are done when at least so many are; until then, help."""
    waited = 0
    while read(queue + _DONE) < upto:
        if swap_if(queue + _TAKEN, 0, 1):
            _make_calls(queue, upto)
            write(queue + _TAKEN, 0)
        elif help_somebody(read(queue + _BOARD), queue + _RECORD, False):
            waited = 0
        else:
            pause()
            waited += 1
            if waited > PAUSES_BEFORE_NAPPING:
                nap()
    return read(queue + _DONE)


@kernel
def close_queue(queue: int) -> None:
    """Return when all jobs are done and nobody reads the queue any more."""
    write(queue + _CLOSED, 1)
    help_until(queue, read(queue + _WRITTEN))
    slot = read(queue + _SLOT)
    if slot:
        close_job(slot)
