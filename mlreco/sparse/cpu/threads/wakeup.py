"""Sleep and wake-up of helpers in machine code, without the interpreter lock: a POSIX mutex and condition variable.

Where the system has no POSIX threads (``posix.POSIX`` tells), a helper sleeps for fixed times instead; see ``crew``.
"""

from __future__ import annotations

from mlreco.sparse.cpu.codegen.posix import init_condition, init_mutex, lock, signal, unlock, wait
from mlreco.sparse.cpu.codegen.shared_memory import read
from mlreco.sparse.native.jit import kernel

WAKEUP_BYTES = 256
"""Memory of a mutex and a condition variable: more than they need on any system."""
_CONDITION = 128


@kernel
def make_wakeup(wakeup: int) -> None:
    """Prepare mutex and condition in ``WAKEUP_BYTES`` at an address."""
    init_mutex(wakeup, 0)
    init_condition(wakeup + _CONDITION, 0)


@kernel
def sleep_while(wakeup: int, word: int, value: int) -> None:
    """Sleep as long as the int64 at ``word`` is ``value``; whoever changes it calls ``wake`` afterwards."""
    lock(wakeup)
    while read(word) == value:
        wait(wakeup + _CONDITION, wakeup)
    unlock(wakeup)


@kernel
def wake(wakeup: int) -> None:
    """Wake the thread that sleeps on this condition."""
    lock(wakeup)
    signal(wakeup + _CONDITION)
    unlock(wakeup)
