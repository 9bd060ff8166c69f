"""Atomic operations, calls by address, pointers and waiting for numba kernels.

They are generated as LLVM code, since numba has no atomic operations on the CPU. None of them needs the interpreter
lock.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_void_p
from typing import Protocol

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.np.numpy_support import carray

from mlreco.sparse.cpu.codegen.intrinsics import function
from mlreco.sparse.cpu.codegen.vector_code import I32, I64, at, call_named, integer
from mlreco.sparse.native.jit import kernel

_NAP = 20
_IS_X86 = llvm.get_default_triple().startswith(("x86", "i686"))
_IS_ARM64 = llvm.get_default_triple().startswith(("aarch64", "arm64"))


def _claim(builder: ir.IRBuilder, counter: ir.Value) -> ir.Value:
    return builder.atomic_rmw("add", at(builder, counter, I64), integer(1), "monotonic")


claim: Callable[[int], int] = function(types.int64(types.int64), _claim)
"""Atomically increment the int64 at an address and return its old value: the next item that nobody has claimed."""


def _read(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.load_atomic(at(builder, address, I64), "acquire", 8)


read: Callable[[int], int] = function(types.int64(types.int64), _read)
"""Return the int64 at an address (acquire): everything that its writer wrote before it is visible, too."""


def _write(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    builder.store_atomic(value, at(builder, address, I64), "release", 8)


write: Callable[[int, int], None] = function(types.void(types.int64, types.int64), _write)
"""Write an int64 to an address (release): a thread that reads it sees everything written before."""


def _swap_if(builder: ir.IRBuilder, address: ir.Value, expected: ir.Value, value: ir.Value) -> ir.Value:
    swapped = builder.cmpxchg(at(builder, address, I64), expected, value, "acq_rel", "acquire")
    return builder.extract_value(swapped, 1)


swap_if: Callable[[int, int, int], bool] = function(types.boolean(types.int64, types.int64, types.int64), _swap_if)
"""Compare and swap: write an int64 (third) to an address (first) if the expected one (second) is there; tell whether it
was."""


def _pause(builder: ir.IRBuilder) -> None:
    if _IS_X86:
        call_named(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
    elif _IS_ARM64:
        call_named(builder, "llvm.aarch64.hint", ir.VoidType(), [ir.Constant(I32, 1)])


def _yield_processor(builder: ir.IRBuilder) -> None:
    if llvm.address_of_symbol("sched_yield"):
        call_named(builder, "sched_yield", I32, [])


def _nap(builder: ir.IRBuilder) -> None:
    if llvm.address_of_symbol("usleep"):
        call_named(builder, "usleep", I32, [ir.Constant(I32, _NAP)])


def _sleep_for(builder: ir.IRBuilder, microseconds: ir.Value) -> None:
    if llvm.address_of_symbol("usleep"):
        call_named(builder, "usleep", I32, [builder.trunc(microseconds, I32)])


pause: Callable[[], None] = function(types.void(), _pause)
"""Wait for some ten cycles: for loops that wait for another thread."""
yield_processor: Callable[[], None] = function(types.void(), _yield_processor)
"""Let the system run another thread on this processor if one waits."""
nap: Callable[[], None] = function(types.void(), _nap)
"""Sleep for some ten microseconds."""
sleep_for: Callable[[int], None] = function(types.void(types.int64), _sleep_for)
"""Sleep for so many microseconds; where the system has no ``usleep``, return at once."""


def _cycles(builder: ir.IRBuilder) -> ir.Value:
    return call_named(builder, "llvm.readcyclecounter", I64, []) if _IS_X86 else integer(0)


cycles: Callable[[], int] = function(types.int64(), _cycles)
"""Return the processor's cycle counter; 0 where there is none that a program may read."""


def _call(builder: ir.IRBuilder, code: ir.Value, *operands: ir.Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [I64, I64])
    builder.call(builder.inttoptr(code, kind.as_pointer()), operands)


call: Callable[[int, int, int], None] = function(types.void(types.int64, types.int64, types.int64), _call)
"""Call the machine code at an address with two int64: the address of a job and the number of the worker."""


def _bits_of(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    return builder.bitcast(number, I64)


bits_of: Callable[[float], int] = function(types.int64(types.float64), _bits_of)
"""Return the int64 that has the same bits as a float64."""


class Floats(Protocol):
    """Float32 numbers one after another in memory, as kernels see them."""

    def __getitem__(self, place: int) -> np.float32:
        """Read a number."""

    def __setitem__(self, place: int, value: float | np.floating) -> None:
        """Write a number, rounded to float32."""


class Integers(Protocol):
    """Integers one after another in memory, as kernels see them."""

    def __getitem__(self, place: int) -> int:
        """Read a number."""

    def __setitem__(self, place: int, value: int) -> None:
        """Write a number."""


def _pointer(to: ir.Type) -> Callable[[ir.IRBuilder, ir.Value], ir.Value]:
    return lambda builder, address: at(builder, address, to)


floats_at: Callable[[int], Floats] = function(types.CPointer(types.float32)(types.int64), _pointer(ir.FloatType()))
"""The float32 numbers at an address, to be read and written by index."""
integers_at: Callable[[int], Integers] = function(types.CPointer(types.int64)(types.int64), _pointer(I64))
"""The same for int64."""
rows_at: Callable[[int], Integers] = function(types.CPointer(types.int32)(types.int64), _pointer(I32))
"""The same for int32."""
_memory_at: Callable[[int], c_void_p] = function(types.voidptr(types.int64), _pointer(ir.IntType(8)))


@kernel
def array_at(address: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Return the C-contiguous array of a shape and dtype that begins at an address."""
    return carray(_memory_at(address), shape, dtype)


_signed: Callable[[int], int] = function(types.int64(types.uintp), lambda builder, number: number)


@kernel
def address_of(numbers: np.ndarray) -> int:
    """Return the address of the first number of an array."""
    return _signed(numbers.ctypes.data)


class Record(Protocol):
    """A structure in memory as kernels see it, with the fields of its ``Layout``; what is written changes the memory.

    Fields are int64. Those of kind ``FLOAT`` are float64 and annotated as int here, which is accepted for float.
    """

    def __getattr__(self, field: str) -> int:
        """Read a field."""

    def __setattr__(self, field: str, value: int) -> None:
        """Write a field."""


@kernel
def record_at(address: int, dtype: np.dtype) -> Record:
    """Return the structure of a ``Layout.dtype`` at an address."""
    return carray(_memory_at(address), 1, dtype)[0]
