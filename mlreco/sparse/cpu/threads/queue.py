"""A queue of jobs that a helper works off in their order while its caller still writes jobs down.

The caller waits at the end, and helps with the job that is open then; it works the queue off itself where no helper has
come. Whoever works it off shares each job with the other helpers.
"""

from __future__ import annotations

from mlreco.sparse.cpu.codegen.shared_memory import (
    give_way,
    integers_at,
    let_others_run,
    pause,
    read,
    swap_if,
    write,
)
from mlreco.sparse.cpu.threads.board import DESK_BYTES, PATIENCE, close_job, help_somebody
from mlreco.sparse.cpu.threads.crew import POLITE, open_to_helpers, work_together
from mlreco.sparse.native.jit import SharedKernel, kernel

_LINE = 64
_WRITTEN, _DONE, _CLOSED, _TAKEN = 0, _LINE, 2 * _LINE, 3 * _LINE
"""Words that change, each on a line of its own: jobs written down (the first word of the memory), jobs done, whether no
more come, and whether somebody works the queue off."""
_BOARD, _DESKS, _SLOT = 4 * _LINE, 4 * _LINE + 8, 4 * _LINE + 16
_DESK = 5 * _LINE
"""The caller's desk, for when it helps."""
_JOBS = _DESK + -(-DESK_BYTES // _LINE) * _LINE
_JOB_BYTES = 3 * 8
LENGTH = 256
"""Jobs that may wait."""
QUEUE_BYTES = _JOBS + LENGTH * _JOB_BYTES
HEAD_WORDS = _JOBS // 8
"""Int64 before the jobs, 0 in a queue that has not been opened; to close that does nothing."""


@kernel
def _work_off(queue: int, upto: int) -> None:
    """Do jobs until so many are done; only whoever has taken the queue may."""
    done = read(queue + _DONE)
    while done < upto:
        job = integers_at(queue + _JOBS + _JOB_BYTES * (done % LENGTH))
        work_together(job[0], job[1], read(queue + _BOARD), read(queue + _DESKS), job[2])
        done += 1
        write(queue + _DONE, done)


def _serve_queue(queue: int, _: int) -> None:
    """Do jobs as they come, until no more do; somebody else has taken the queue, or nobody."""
    if not swap_if(queue + _TAKEN, 0, 1):
        return
    waited = 0
    while True:
        is_closed, written = read(queue + _CLOSED), read(queue + _WRITTEN)
        if read(queue + _DONE) < written:
            _work_off(queue, written)
            waited = 0
        elif is_closed:
            return
        else:
            pause()
            waited += 1
            if waited % POLITE == 0:
                let_others_run()


serve_queue = SharedKernel(_serve_queue)


@kernel
def open_queue(queue: int, serve: int, board: int, desks: int, helpers: int) -> None:
    """Open a new queue and call a helper, if there is any; ``serve`` is the address of its kernel."""
    write(queue + _BOARD, board)
    write(queue + _DESKS, desks)
    write(queue + _SLOT, open_to_helpers(serve, queue, board, desks, min(1, helpers), True))


@kernel
def write_down(queue: int, function: int, job: int, helpers: int) -> int:
    """Add a job for so many helpers and return how many are done; no more than ``LENGTH`` may wait."""
    written = read(queue + _WRITTEN)
    entry = integers_at(queue + _JOBS + _JOB_BYTES * (written % LENGTH))
    entry[0], entry[1], entry[2] = function, job, helpers
    write(queue + _WRITTEN, written + 1)
    return read(queue + _DONE)


@kernel
def catch_up(queue: int, upto: int) -> int:
    """Return how many jobs are done when at least so many are; until then, help."""
    waited = 0
    while read(queue + _DONE) < upto:
        if swap_if(queue + _TAKEN, 0, 1):
            _work_off(queue, upto)
            write(queue + _TAKEN, 0)
        elif help_somebody(read(queue + _BOARD), queue + _DESK, False):
            waited = 0
        else:
            pause()
            waited += 1
            if waited > PATIENCE:
                give_way()
    return read(queue + _DONE)


@kernel
def close_queue(queue: int) -> None:
    """Return when all jobs are done and nobody reads the queue any more."""
    write(queue + _CLOSED, 1)
    catch_up(queue, read(queue + _WRITTEN))
    slot = read(queue + _SLOT)
    if slot:
        close_job(slot)
