"""The board: shared memory where callers open jobs and helper threads find them, synchronised by atomic operations.

The board has eight slots of one job each. The first word of a slot, its gate, packs all that changes into one int64, so
that a single compare-and-swap moves the slot from one valid state to another:

* bit 0, held: a caller owns the slot;
* bit 1, open: helpers may come in;
* bits 2 to 15: how many helpers work on the job now;
* bits 16 to 31: how many more may come in;
* bits 32 and up, the generation: counts the jobs that the slot has held. A helper that read the gate and was suspended
  sees another generation when it goes on, and does not mistake the new job for the old one.
"""

from __future__ import annotations

from mlreco.sparse.cpu.codegen.shared_memory import call, integers_at, nap, pause, read, swap_if, write
from mlreco.sparse.cpu.threads.wakeup import WAKEUP_BYTES
from mlreco.sparse.native.jit import kernel

_LINE = 64
_SLOTS = 8
WORTH = _LINE * _SLOTS
"""Offset of an int64: multiply-adds for which one more thread is worth while (``crew.WORTH_A_THREAD``)."""
BOARD_BYTES = WORTH + _LINE
_FUNCTION, _JOB, _IS_QUEUE = 1, 2, 3
"""Words of a slot behind the gate."""
_HELD, _OPEN, _INSIDE = 1, 1 << 1, 1 << 2
_PLACE_BITS, _GENERATION_BITS = 16, 32
_PLACE, _GENERATION = 1 << _PLACE_BITS, 1 << _GENERATION_BITS
_ALL_INSIDE, _ALL_PLACES, _ALL = _PLACE - _INSIDE, _GENERATION - _PLACE, _GENERATION - 1
"""Units and masks of the gate's parts."""

AWAKE, ASLEEP = 0, 1
"""First word of a helper's record."""
_SEEN = _LINE
WAKEUP = _SEEN + 8 * _SLOTS
RECORD_BYTES = WAKEUP + WAKEUP_BYTES
"""Bytes of a helper's record: a cache line with its state, the generation on which it last worked in each slot, and the
mutex and condition variable that wake it."""
PAUSES_BEFORE_NAPPING = 2000
"""Turns of a caller's waiting loop after which it sleeps between looks: the helper may need this processor."""


@kernel
def open_job(board: int, function: int, job: int, helpers: int, is_queue: bool) -> int:
    """Open a job to that many helpers; return the slot, or 0 where all are held.

    Args:
        board: its address.
        function: address of the kernel.
        job: address of the job.
        helpers: at least 1.
        is_queue: whether the kernel works off a call queue, waiting for calls that are still to be appended. A caller
            that waits for its own queue must not run such a job: it would wait for itself.
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
    """Let no more helpers in, wait until those inside have left, and free the slot."""
    gate = read(slot)
    while not swap_if(slot, gate, gate & ~(_OPEN | _ALL_PLACES)):
        gate = read(slot)
    waited = 0
    while read(slot) & _ALL_INSIDE:
        pause()
        waited += 1
        if waited > PAUSES_BEFORE_NAPPING:
            nap()
    write(slot, gate & ~_ALL)


@kernel
def _is_open(gate: int, seen: int) -> bool:
    """Tell whether a helper may take a job, ``seen`` being the generation on which it last worked in this slot."""
    return gate & _OPEN != 0 and gate & _ALL_PLACES != 0 and gate >> _GENERATION_BITS != seen


@kernel
def is_wanted(board: int, record: int) -> bool:
    """Tell whether there is an open job on which this helper has not worked yet."""
    seen, found = integers_at(record + _SEEN), False
    for number in range(_SLOTS):
        found = found or _is_open(read(board + _LINE * number), seen[number])
    return found


@kernel
def help_somebody(board: int, record: int, queues_too: bool) -> bool:
    """Work on one open job, as the worker whose number is that of the place taken; tell whether there was one."""
    seen = integers_at(record + _SEEN)
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
