"""Sleep and wake-up of helpers in machine code, without the interpreter lock: a POSIX mutex and condition variable.

Where the system has no POSIX threads (``POSIX`` tells), a helper sleeps for fixed times instead; see ``crew``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mlreco.sparse.cpu.codegen.shared_memory import read
from mlreco.sparse.cpu.codegen.vector_code import I32, at, call_named
from mlreco.sparse.native.jit import kernel

WAKEUP_BYTES = 256
"""Memory of a mutex and a condition variable: more than they need on any system."""
_CONDITION = 128
POSIX = bool(llvm.address_of_symbol("pthread_cond_wait"))


def _posix(name: str, operands: int) -> Callable:
    """Make a numba function that calls a POSIX function of one or two addresses; without POSIX it does nothing."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if POSIX:
            call_named(builder, name, I32, [at(builder, place, ir.IntType(8)) for place in args])
        return context.get_dummy_value()

    if operands == 1:

        @intrinsic
        def run(typing, place):  # noqa: ANN001, ANN202
            return types.void(types.int64), code

    else:

        @intrinsic
        def run(typing, place, other):  # noqa: ANN001, ANN202
            return types.void(types.int64, types.int64), code

    return run


_init_mutex, _init_condition = _posix("pthread_mutex_init", 2), _posix("pthread_cond_init", 2)
_lock, _unlock = _posix("pthread_mutex_lock", 1), _posix("pthread_mutex_unlock", 1)
_wait, _signal = _posix("pthread_cond_wait", 2), _posix("pthread_cond_signal", 1)


@kernel
def make_wakeup(wakeup: int) -> None:
    """Prepare mutex and condition in ``WAKEUP_BYTES`` at an address."""
    _init_mutex(wakeup, 0)
    _init_condition(wakeup + _CONDITION, 0)


@kernel
def sleep_while(wakeup: int, word: int, value: int) -> None:
    """Sleep as long as the int64 at ``word`` is ``value``; whoever changes it calls ``wake`` afterwards."""
    _lock(wakeup)
    while read(word) == value:
        _wait(wakeup + _CONDITION, wakeup)
    _unlock(wakeup)


@kernel
def wake(wakeup: int) -> None:
    """Wake the thread that sleeps on this condition."""
    _lock(wakeup)
    _signal(wakeup + _CONDITION)
    _unlock(wakeup)
