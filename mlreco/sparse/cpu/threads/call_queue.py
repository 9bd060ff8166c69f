"""A queue of calls in shared memory: a helper makes the calls in order while the caller still appends more.

Python can prepare the next call (check shapes, allocate memory) while the last one runs. The thread that works off
the queue is a helper or, if all helpers are busy elsewhere, the caller itself; it shares the job of each call with the
other helpers. At the end the caller waits until all calls have been made, and helps with the job that is open at the
time.
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
"""Offsets of the words that change, each on a cache line of its own: calls appended (the first word of the memory),
calls made, whether no more calls come, and whether a thread works off the queue."""
_BOARD, _CREW, _SLOT = 4 * _LINE, 4 * _LINE + 8, 4 * _LINE + 16
_RECORD = 5 * _LINE
"""Offset of a helper's record for the caller, which it needs to work on jobs of the board."""
_JOBS = _RECORD + -(-RECORD_BYTES // _LINE) * _LINE
_JOB_BYTES = 3 * 8
_PAUSES_BEFORE_SLEEPING = 20_000
"""Turns of the waiting loop, some hundred microseconds, after which a helper sleeps between two looks at the queue: its
caller does something else, or is halted in a debugger."""
_SHORTEST_NAP, _LONGEST_NAP = 50, 10_000
"""Microseconds for which it sleeps at first and at most; each time twice as long."""
LENGTH = 256
"""Calls that may wait."""
QUEUE_BYTES = _JOBS + LENGTH * _JOB_BYTES
HEAD_WORDS = _JOBS // 8
"""Number of int64 before the calls. They are 0 in a queue that was never opened; closing that does nothing."""


@kernel
def _make_calls(queue: int, upto: int) -> None:
    """Make calls until ``upto`` have been made; only for the thread that has taken the queue."""
    done = read(queue + _DONE)
    while done < upto:
        job = integers_at(queue + _JOBS + _JOB_BYTES * (done % LENGTH))
        work_together(job[0], job[1], read(queue + _BOARD), read(queue + _CREW), job[2])
        done += 1
        write(queue + _DONE, done)


def _work_off_queue(queue: int, _: int) -> None:
    """Take the queue, unless another thread has it, and make calls as they come until the queue is closed."""
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
    """Open a new queue to one helper, if there is any; ``serve`` is the address of ``work_off_queue``."""
    write(queue + _BOARD, board)
    write(queue + _CREW, crew)
    write(queue + _SLOT, open_to_helpers(serve, queue, board, crew, min(1, helpers), True))


@kernel
def append_call(queue: int, function: int, job: int, helpers: int) -> int:
    """Append a call whose job up to ``helpers`` helpers share; return how many calls have been made.

    No more than ``LENGTH`` calls may wait.
    """
    written = read(queue + _WRITTEN)
    entry = integers_at(queue + _JOBS + _JOB_BYTES * (written % LENGTH))
    entry[0], entry[1], entry[2] = function, job, helpers
    write(queue + _WRITTEN, written + 1)
    return read(queue + _DONE)


@kernel
def help_until(queue: int, upto: int) -> int:
    """Work until at least ``upto`` calls have been made; return how many have been."""
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
    """Return when all calls have been made and no thread reads the queue any more."""
    write(queue + _CLOSED, 1)
    help_until(queue, read(queue + _WRITTEN))
    slot = read(queue + _SLOT)
    if slot:
        close_job(slot)
