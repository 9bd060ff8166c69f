"""Building blocks of generated vector code: functions that emit pieces of LLVM code for numba."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba.core import cgutils

from mlreco.sparse.cpu.codegen.simd import UNIT

_I8, I32, I64, _F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR = ir.VectorType(_F32, UNIT.lanes)
FLOAT_BYTES, LINE_BYTES = 4, 64
VECTOR_BYTES = UNIT.lanes * FLOAT_BYTES
LoopBody = Callable[[ir.Value, list[ir.Value]], list[ir.Value]]
"""Body of a loop: takes the number of the iteration and the values carried from iteration to iteration, and returns the
values for the next one."""


def integer(value: int) -> ir.Constant:
    """Return a constant int64."""
    return ir.Constant(I64, value)


def call_named(builder: ir.IRBuilder, name: str, result: ir.Type, operands: list[ir.Value]) -> ir.Value:
    """Call a function of LLVM or of the process by its name."""
    kind = ir.FunctionType(result, [operand.type for operand in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)


def at(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """Return an address as a pointer to a type."""
    return builder.inttoptr(address, kind.as_pointer())


def splat(builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
    """Return a vector of a float32 in all lanes."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    lanes = ir.Constant(ir.VectorType(I32, UNIT.lanes), [0] * UNIT.lanes)
    return builder.shuffle_vector(single, undefined, lanes)


def load_row(builder: ir.IRBuilder, row: ir.Value, vectors: int) -> list[ir.Value]:
    """Load vectors that follow each other from an address, aligned to a number."""
    pointer = at(builder, row, VECTOR)
    return [builder.load(builder.gep(pointer, [integer(v)]), align=FLOAT_BYTES) for v in range(vectors)]


def store_row(builder: ir.IRBuilder, values: list[ir.Value], row: ir.Value) -> None:
    """Store vectors one after another from an address, aligned to a number."""
    pointer = at(builder, row, VECTOR)
    for v, value in enumerate(values):
        builder.store(value, builder.gep(pointer, [integer(v)]), align=FLOAT_BYTES)


def broadcast(builder: ir.IRBuilder, row: ir.Value, column: ir.Value) -> ir.Value:
    """Load one number of a row into all lanes of a vector."""
    return splat(builder, builder.load(builder.gep(at(builder, row, _F32), [column])))


def number_of_bits(builder: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    """Return the float32 nearest to the float64 that has the same bits as an int64."""
    return builder.fptrunc(builder.bitcast(bits, ir.DoubleType()), _F32)


def listed(builder: ir.IRBuilder, addresses: ir.Value, place: ir.Value) -> ir.Value:
    """Load one address of a list of int64."""
    return builder.load(builder.gep(at(builder, addresses, I64), [place]))


def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """Return a * b + c, in one instruction where the CPU has it."""
    return call_named(builder, f"llvm.fmuladd.v{UNIT.lanes}f32", VECTOR, [a, b, c])


def prefetch(builder: ir.IRBuilder, address: ir.Value, locality: int = 3) -> None:
    """Prefetch the cache line at an address into the first-level cache (locality 3) or the second (2)."""
    read, where, data = (ir.Constant(I32, number) for number in (0, locality, 1))
    call_named(builder, "llvm.prefetch.p0i8", ir.VoidType(), [at(builder, address, _I8), read, where, data])


def loop(builder: ir.IRBuilder, count: ir.Value, carried: list[ir.Value], body: LoopBody) -> list[ir.Value]:
    """Emit ``for i in range(count): carried = body(i, carried)`` and return the last values."""
    before = builder.block
    head, block, after = (builder.append_basic_block(name) for name in ("head", "loop", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    phis = [builder.phi(value.type) for value in carried]
    builder.cbranch(builder.icmp_signed("<", index, count), block, after)
    builder.position_at_end(block)
    updated = [builder.add(index, integer(1)), *body(index, phis)]
    for phi, first, value in zip([index, *phis], [integer(0), *carried], updated, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return phis
