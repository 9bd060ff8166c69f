"""Words of memory that threads share, and machine code called by its address, for numba kernels without the lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mlreco.models.layers.sparse.cpu.vector_code import I64, integer

_SLEEP = "usleep" if llvm.address_of_symbol("usleep") else None
_NAP = 20
_IS_X86 = llvm.get_default_triple().startswith(("x86", "i686"))
_YIELD = "sched_yield" if llvm.address_of_symbol("sched_yield") else None


def _word(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.inttoptr(address, I64.as_pointer())


@intrinsic
def claim(typing, counter):  # noqa: ANN001, ANN201
    """Return the next item of a list that threads share: the int64 at an address, which it increments."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.atomic_rmw("add", _word(builder, args[0]), integer(1), "monotonic")

    return types.int64(types.int64), generate


@intrinsic
def read(typing, address):  # noqa: ANN001, ANN201
    """Return the int64 at an address; what the thread that wrote it did before is seen."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.load_atomic(_word(builder, args[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def write(typing, address, value):  # noqa: ANN001, ANN201
    """Write an int64 to an address; who reads it sees what was done before."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        builder.store_atomic(args[1], _word(builder, args[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def swap_if(typing, address, expected, value):  # noqa: ANN001, ANN201
    """Write an int64 to an address if the expected one is there, in one step; tell whether it was."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        address, expected, value = args
        swapped = builder.cmpxchg(_word(builder, address), expected, value, "acq_rel", "acquire")
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
    target = llvm.get_default_triple()
    name, operands = "", []
    if _IS_X86:
        name = "llvm.x86.sse2.pause"
    elif target.startswith(("aarch64", "arm64")):
        name, operands = "llvm.aarch64.hint", [ir.Constant(ir.IntType(32), 1)]
    if name:
        kind = ir.FunctionType(ir.VoidType(), [operand.type for operand in operands])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)


def _let_others_run(builder: ir.IRBuilder) -> None:
    if _YIELD:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), _YIELD)
        builder.call(function, [])


def _give_way(builder: ir.IRBuilder) -> None:
    if _SLEEP:
        microseconds = ir.IntType(32)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(microseconds, [microseconds]), _SLEEP)
        builder.call(function, [ir.Constant(microseconds, _NAP)])


pause = _instruction(_pause)
"""Wait for some ten cycles, as a loop should that waits for another thread."""
let_others_run = _instruction(_let_others_run)
"""Let the system run another thread on this processor if one waits."""
give_way = _instruction(_give_way)
"""Leave the processor to other threads for some ten microseconds."""


@intrinsic
def cycles(typing):  # noqa: ANN001, ANN201
    """Return the processor's count of cycles; 0 where a program may not read it."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if not _IS_X86:
            return integer(0)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(I64, []), "llvm.readcyclecounter")
        return builder.call(function, [])

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


def _array_at(number: types.Type) -> Callable:
    @intrinsic
    def pointer(typing, address):  # noqa: ANN001, ANN202
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(number)(types.int64), generate

    return pointer


floats_at = _array_at(types.float32)
"""Float32 numbers from an address on, to be read and written by index."""
integers_at = _array_at(types.int64)
"""The same for int64."""


@intrinsic
def memory_at(typing, address):  # noqa: ANN001, ANN201
    """Return an address as numba's pointer to anything."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.int64), generate
