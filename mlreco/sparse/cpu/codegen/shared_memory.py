"""Atomic operations, calls by address, and pointers for numba kernels.

They are generated as LLVM code, since numba has no atomic operations on the CPU. None of them needs the interpreter
lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mlreco.sparse.cpu.codegen.vector_code import I32, I64, at, call_named, integer

_NAP = 20
_IS_X86 = llvm.get_default_triple().startswith(("x86", "i686"))
_IS_ARM64 = llvm.get_default_triple().startswith(("aarch64", "arm64"))


@intrinsic
def claim(typing, counter):  # noqa: ANN001, ANN201
    """Atomically increment the int64 at an address and return its old value: the next item that nobody has claimed."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.atomic_rmw("add", at(builder, args[0], I64), integer(1), "monotonic")

    return types.int64(types.int64), generate


@intrinsic
def read(typing, address):  # noqa: ANN001, ANN201
    """Return the int64 at an address (acquire): everything that its writer wrote before it is visible, too."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.load_atomic(at(builder, args[0], I64), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def write(typing, address, value):  # noqa: ANN001, ANN201
    """Write an int64 to an address (release): a thread that reads it sees everything written before."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        builder.store_atomic(args[1], at(builder, args[0], I64), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def swap_if(typing, address, expected, value):  # noqa: ANN001, ANN201
    """Compare and swap: write an int64 to an address if the expected one is there; tell whether it was."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        address, expected, value = args
        swapped = builder.cmpxchg(at(builder, address, I64), expected, value, "acq_rel", "acquire")
        return builder.extract_value(swapped, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


def _instruction(generate: Callable[[ir.IRBuilder], None]) -> Callable:
    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        generate(builder)
        return context.get_dummy_value()

    @intrinsic
    def run(typing):  # noqa: ANN001, ANN202
        return types.void(), code

    return run


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


pause = _instruction(_pause)
"""Wait for some ten cycles: for loops that wait for another thread."""
yield_processor = _instruction(_yield_processor)
"""Let the system run another thread on this processor if one waits."""
nap = _instruction(_nap)
"""Sleep for some ten microseconds."""


@intrinsic
def sleep_for(typing, microseconds):  # noqa: ANN001, ANN201
    """Sleep; where the system has no ``usleep``, return at once."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if llvm.address_of_symbol("usleep"):
            call_named(builder, "usleep", I32, [builder.trunc(args[0], I32)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def cycles(typing):  # noqa: ANN001, ANN201
    """Return the processor's cycle counter; 0 where there is none that a program may read."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if not _IS_X86:
            return integer(0)
        return call_named(builder, "llvm.readcyclecounter", I64, [])

    return types.int64(), generate


@intrinsic
def call(typing, function, job, worker):  # noqa: ANN001, ANN201
    """Call the machine code at an address with two int64."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        function, *operands = args
        kind = ir.FunctionType(ir.VoidType(), [I64, I64])
        builder.call(builder.inttoptr(function, kind.as_pointer()), operands)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def bits_of(typing, number):  # noqa: ANN001, ANN201
    """Return the int64 that has the same bits as a float64."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.bitcast(args[0], I64)

    return types.int64(types.float64), generate


def _pointer(kind: types.Type) -> Callable:
    @intrinsic
    def pointer(typing, address):  # noqa: ANN001, ANN202
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return kind(types.int64), generate

    return pointer


floats_at = _pointer(types.CPointer(types.float32))
"""The float32 numbers at an address, to be read and written by index."""
integers_at = _pointer(types.CPointer(types.int64))
"""The same for int64."""
rows_at = _pointer(types.CPointer(types.int32))
"""The same for int32."""
memory_at = _pointer(types.voidptr)
"""An address as numba's ``void*``, for ``carray``."""
