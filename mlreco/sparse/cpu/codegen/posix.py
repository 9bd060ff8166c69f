"""Mutexes and condition variables of POSIX threads for numba kernels; without POSIX the functions do nothing."""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types

from mlreco.sparse.cpu.codegen.intrinsics import function
from mlreco.sparse.cpu.codegen.vector_code import I32, at, call_named

POSIX = bool(llvm.address_of_symbol("pthread_cond_wait"))
"""Whether the system has them."""
_OneAddress = Callable[[int], None]
_TwoAddresses = Callable[[int, int], None]
_ONE, _TWO = types.void(types.int64), types.void(types.int64, types.int64)


def _calls(name: str) -> Callable[..., None]:
    """Return the generator of a call whose operands are addresses."""

    def generate(builder: ir.IRBuilder, *places: ir.Value) -> None:
        if POSIX:
            call_named(builder, name, I32, [at(builder, place, ir.IntType(8)) for place in places])

    return generate


init_mutex: _TwoAddresses = function(_TWO, _calls("pthread_mutex_init"))
init_condition: _TwoAddresses = function(_TWO, _calls("pthread_cond_init"))
lock: _OneAddress = function(_ONE, _calls("pthread_mutex_lock"))
unlock: _OneAddress = function(_ONE, _calls("pthread_mutex_unlock"))
wait: _TwoAddresses = function(_TWO, _calls("pthread_cond_wait"))
signal: _OneAddress = function(_ONE, _calls("pthread_cond_signal"))
