"""The board on which calls open their jobs and helpers find them: words of memory changed in one step, without locks.

A slot of the board holds one job. Its first word, the gate, tells everything that changes: whether the slot is held,
whether the job is open, how many helpers are inside, how many places are left for more, and the generation, which
changes with every job, so that a helper never mistakes one job for another.
"""

from __future__ import annotations

from mlreco.sparse.cpu.codegen.shared_memory import call, give_way, integers_at, pause, read, swap_if, write
from mlreco.sparse.cpu.threads.wakeup import BELL_BYTES
from mlreco.sparse.native.jit import kernel

_LINE = 64
_SLOTS = 8
WORTH = _LINE * _SLOTS
"""Where a board says how many operations are worth a thread, an int64 that nobody changes."""
BOARD_BYTES = WORTH + _LINE
_FUNCTION, _JOB, _IS_QUEUE = 1, 2, 3
"""Words of a slot behind the gate."""
_HELD, _OPEN, _INSIDE = 1, 1 << 1, 1 << 2
_PLACE_BITS, _GENERATION_BITS = 16, 32
_PLACE, _GENERATION = 1 << _PLACE_BITS, 1 << _GENERATION_BITS
_ALL_INSIDE, _ALL_PLACES, _ALL = _PLACE - _INSIDE, _GENERATION - _PLACE, _GENERATION - 1
"""What the bits of a gate mean: ``_INSIDE`` and ``_PLACE`` are counted, the generation is above them."""

AWAKE, ASLEEP = 0, 1
"""First word of a helper's desk."""
_SEEN = _LINE
BELL = _SEEN + 8 * _SLOTS
DESK_BYTES = BELL + BELL_BYTES
"""A desk: a line with the helper's state, the generation it last worked on in every slot, and its bell."""
PATIENCE = 2000
"""Pauses of a caller that waits for a helper, before others get the processor."""


@kernel
def open_job(board: int, function: int, job: int, helpers: int, is_queue: bool) -> int:
    """Open a job to that many helpers; return the slot, or 0 where all are held.

    Args:
        board: where it begins.
        function: address of the kernel.
        job: address of the job.
        helpers: at least 1.
        is_queue: the kernel may wait for jobs that its caller has yet to write down, so only helpers can do it.
    """
    for number in range(_SLOTS):
        slot = board + _LINE * number
        gate = read(slot)
        if gate & _ALL == 0 and swap_if(slot, gate, gate | _HELD):
            post = integers_at(slot)
            post[_FUNCTION], post[_JOB], post[_IS_QUEUE] = function, job, is_queue
            write(slot, (gate + _GENERATION) | _HELD | _OPEN | helpers * _PLACE)
            return slot
    return 0


@kernel
def close_job(slot: int) -> None:
    """Let no more helpers in, wait until those inside have left, and give the slot back."""
    gate = read(slot)
    while not swap_if(slot, gate, gate & ~(_OPEN | _ALL_PLACES)):
        gate = read(slot)
    waited = 0
    while read(slot) & _ALL_INSIDE:
        pause()
        waited += 1
        if waited > PATIENCE:
            give_way()
    write(slot, gate & ~_ALL)


@kernel
def _is_open(gate: int, seen: int) -> bool:
    """Tell whether a helper may come in that has seen a generation."""
    return gate & _OPEN != 0 and gate & _ALL_PLACES != 0 and gate >> _GENERATION_BITS != seen


@kernel
def is_wanted(board: int, desk: int) -> bool:
    """Tell whether a job is open that a helper has not worked on."""
    seen, found = integers_at(desk + _SEEN), False
    for number in range(_SLOTS):
        found = found or _is_open(read(board + _LINE * number), seen[number])
    return found


@kernel
def help_somebody(board: int, desk: int, queues_too: bool) -> bool:
    """Work on one open job, as the worker whose number is that of the place taken; tell whether there was any."""
    seen = integers_at(desk + _SEEN)
    for number in range(_SLOTS):
        slot = board + _LINE * number
        gate = read(slot)
        while _is_open(gate, seen[number]) and (queues_too or not integers_at(slot)[_IS_QUEUE]):
            if swap_if(slot, gate, gate - _PLACE + _INSIDE):
                seen[number] = gate >> _GENERATION_BITS
                post = integers_at(slot)
                call(post[_FUNCTION], post[_JOB], (gate & _ALL_PLACES) >> _PLACE_BITS)
                _leave(slot)
                return True
            gate = read(slot)
    return False


@kernel
def _leave(slot: int) -> None:
    gate = read(slot)
    while not swap_if(slot, gate, gate - _INSIDE):
        gate = read(slot)
