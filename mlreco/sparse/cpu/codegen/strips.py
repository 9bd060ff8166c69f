"""Sums over the rows of a matrix, held in vector registers, for a strip of neighbouring columns at a time.

All operands are addresses and counts, int64; strides are in bytes, at least one row is required.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from mlreco.sparse.cpu.codegen.intrinsics import Procedure, procedure
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.codegen.vector_code import (
    VECTOR,
    integer,
    load_row,
    loop,
    multiply_add,
    number_of_bits,
    splat,
    store_row,
)
from mlreco.sparse.native.jit import kernel

_LANES = UNIT.lanes
_WIDTHS = (4, 2, 1) if UNIT.registers >= 32 else (2, 1)
"""Widths of strips for which code is generated, in vectors, the widest first."""


@kernel
def strip_columns(left: int) -> int:
    """Return how many of the columns that are left the next strip takes: 0 where they do not fill a vector."""
    for vectors in _WIDTHS:
        if left >= vectors * _LANES:
            return vectors * _LANES
    return 0


def _of_all_widths(generate: Callable[[ir.IRBuilder, list[ir.Value], int], None]) -> Procedure:
    """Make a procedure whose first operand is the width of the strip as ``strip_columns`` returns it, not 0."""

    def choose(builder: ir.IRBuilder, operands: list[ir.Value], widths: tuple[int, ...]) -> None:
        columns, *others = operands
        if len(widths) == 1:
            generate(builder, others, widths[0])
            return
        fits = builder.icmp_signed("==", columns, integer(widths[0] * UNIT.lanes))
        with builder.if_else(fits) as (then, otherwise):
            with then:
                generate(builder, others, widths[0])
            with otherwise:
                choose(builder, operands, widths[1:])

    return procedure(lambda builder, operands: choose(builder, operands, _WIDTHS))


def _moments(builder: ir.IRBuilder, operands: list[ir.Value], vectors: int) -> None:
    x, stride, rows, mean, rest, squares = operands
    none = [ir.Constant(VECTOR, [0.0] * UNIT.lanes)] * vectors

    def values(row: ir.Value) -> list[ir.Value]:
        return load_row(builder, builder.add(x, builder.mul(row, stride)), vectors)

    def add(row: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        return [builder.fadd(total, value) for total, value in zip(sums, values(row), strict=True)]

    share_of_row = builder.fdiv(ir.Constant(ir.FloatType(), 1.0), builder.sitofp(rows, ir.FloatType()))
    share_of_row = splat(builder, share_of_row)
    means = [builder.fmul(total, share_of_row) for total in loop(builder, rows, none, add)]

    def add_deviations(row: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        deviations = [builder.fsub(value, middle) for value, middle in zip(values(row), means, strict=True)]
        rests = [builder.fadd(total, d) for d, total in zip(deviations, sums[:vectors], strict=True)]
        return rests + [multiply_add(builder, d, d, total) for d, total in zip(deviations, sums[vectors:], strict=True)]

    sums = loop(builder, rows, none + none, add_deviations)
    store_row(builder, means, mean)
    store_row(builder, sums[:vectors], rest)
    store_row(builder, sums[vectors:], squares)


def _gradient(builder: ir.IRBuilder, operands: list[ir.Value], vectors: int) -> None:
    x, grad, stride, rows, scale, shift, mean, slope, total, product = operands
    scales, shifts, means = (load_row(builder, place, vectors) for place in (scale, shift, mean))
    zero = ir.Constant(VECTOR, [0.0] * UNIT.lanes)
    one, slopes = ir.Constant(VECTOR, [1.0] * UNIT.lanes), splat(builder, number_of_bits(builder, slope))

    def add(row: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        place = builder.mul(row, stride)
        values = load_row(builder, builder.add(x, place), vectors)
        gradients = load_row(builder, builder.add(grad, place), vectors)
        totals, products = [], []
        for v in range(vectors):
            active = builder.fadd(builder.fmul(values[v], scales[v]), shifts[v])
            factor = builder.select(builder.fcmp_ordered(">", active, zero), one, slopes)
            inner = builder.fmul(gradients[v], factor)
            totals.append(builder.fadd(sums[v], inner))
            products.append(multiply_add(builder, inner, builder.fsub(values[v], means[v]), sums[vectors + v]))
        return totals + products

    sums = loop(builder, rows, [zero] * (2 * vectors), add)
    store_row(builder, sums[:vectors], total)
    store_row(builder, sums[vectors:], product)


moments_strip = _of_all_widths(_moments)
"""``moments_strip((columns, x, stride, rows, mean, rest, squares))``: for each column its mean as float32, the sum of
deviations from that rounded mean (0 but for rounding), and the sum of squared deviations."""
gradient_strip = _of_all_widths(_gradient)
"""``gradient_strip((columns, x, grad, stride, rows, scale, shift, mean, slope, total, product))``.

The gradient g before LeakyReLU is grad, times the slope (given as the bits of a float64) where x * scale + shift is not
positive; ``total`` becomes the sum of g and ``product`` that of g (x - mean). The product x * scale is rounded before
shift is added, here and in all other kernels: in a constant column x * scale + shift is a rounding error only, and all
kernels must agree on its sign.
"""
