"""A bell that wakes one thread, for numba kernels without the interpreter lock: POSIX mutex and condition.

Where the system has no POSIX threads, a bell cannot be waited for; ``POSIX`` tells.
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

BELL_BYTES = 256
"""Memory of a bell: more than mutex and condition need on any system."""
_CONDITION = 128
POSIX = bool(llvm.address_of_symbol("pthread_cond_wait"))


def _posix(name: str, operands: int) -> Callable:
    """Make a numba function of a POSIX function of one or two addresses; it does nothing where there is none."""

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
def make_bell(bell: int) -> None:
    """Prepare the memory of a bell, ``BELL_BYTES`` at an address."""
    _init_mutex(bell, 0)
    _init_condition(bell + _CONDITION, 0)


@kernel
def sleep_while(bell: int, word: int, value: int) -> None:
    """Sleep as long as there is that int64 at an address; who changes it rings the bell afterwards."""
    _lock(bell)
    while read(word) == value:
        _wait(bell + _CONDITION, bell)
    _unlock(bell)


@kernel
def ring(bell: int) -> None:
    """Wake the thread that sleeps beside the bell."""
    _lock(bell)
    _signal(bell + _CONDITION)
    _unlock(bell)
