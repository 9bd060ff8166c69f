"""Gather - multiply - scatter on a register tile, as LLVM vector code.

A tile holds ``rows`` x ``vectors`` accumulators. For each group of ``rows`` pairs (input row, output row) it loads
the output rows, adds input row times weight panel and stores them back; the input rows are read by index, element by
element, and broadcast, so nothing is gathered into a buffer first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mlreco.models.layers.sparse.cpu.simd import UNIT

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_F32, UNIT.lanes)
_ZERO = ir.Constant(_I64, 0)

GRADIENT_ROWS = UNIT.gradient_rows
"""Columns of the first matrix in a tile of the weight gradient."""


def _pointer(context: Any, builder: ir.IRBuilder, kind: Any, array: Any) -> ir.Value:
    return context.make_array(kind)(context, builder, array).data


def _int(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _splat(builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    lanes = ir.Constant(ir.VectorType(_I32, UNIT.lanes), [0] * UNIT.lanes)
    return builder.shuffle_vector(single, undefined, lanes)


def _load(builder: ir.IRBuilder, base: ir.Value, offset: int) -> ir.Value:
    address = builder.gep(base, [_int(offset)])
    return builder.load(builder.bitcast(address, _VECTOR.as_pointer()), align=4)


def _store(builder: ir.IRBuilder, value: ir.Value, base: ir.Value, offset: int) -> None:
    address = builder.gep(base, [_int(offset)])
    builder.store(value, builder.bitcast(address, _VECTOR.as_pointer()), align=4)


def _fma(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    name = f"llvm.fmuladd.v{UNIT.lanes}f32"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), name)
    return builder.call(function, [a, b, c])


def _counted_loop(builder: ir.IRBuilder, count: ir.Value, carried: list[ir.Value], body: Callable) -> list[ir.Value]:
    """Emit ``for i in range(count): carried = body(i, carried)``, count at least 1, and return the last values."""
    before = builder.block
    block, after = builder.append_basic_block("reduce"), builder.append_basic_block("reduced")
    builder.branch(block)
    builder.position_at_end(block)
    index = builder.phi(_I64)
    phis = [builder.phi(value.type) for value in carried]
    index.add_incoming(_ZERO, before)
    for phi, value in zip(phis, carried, strict=True):
        phi.add_incoming(value, before)
    updated = body(index, phis)
    following = builder.add(index, _int(1))
    index.add_incoming(following, builder.block)
    for phi, value in zip(phis, updated, strict=True):
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), block, after)
    builder.position_at_end(after)
    return updated


def forward_tile(vectors: int) -> Callable:
    """Make the intrinsic that runs all pairs [first, last) through tiles of that many vectors.

    Its arguments: x (n, Cin), in_rows, out_rows, first, last, panel (Cin x vectors x lanes, flat) and its offset,
    accumulators (rows + 1, stride; the last row is scratch), the output row of accumulator row 0, the column.
    """
    rows = UNIT.rows[vectors - 1]

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        x, _, _, first, last, panel, panel_start, y, row_0, column = args
        kinds = signature.args
        x_shape = context.make_array(kinds[0])(context, builder, x).shape
        y_shape = context.make_array(kinds[7])(context, builder, y).shape
        channels = builder.extract_value(x_shape, 1)
        stride = builder.extract_value(y_shape, 1)
        scratch_row = builder.sub(builder.extract_value(y_shape, 0), _int(1))
        x_data, y_data = (_pointer(context, builder, kinds[i], args[i]) for i in (0, 7))
        in_data, out_data = (_pointer(context, builder, kinds[i], args[i]) for i in (1, 2))
        weights = builder.gep(_pointer(context, builder, kinds[5], panel), [panel_start])
        y_data = builder.gep(y_data, [column])
        end = builder.sub(last, _int(1))

        with cgutils.for_range_slice(builder, first, last, _int(rows), _I64) as (start, _):
            sources, targets = [], []
            for row in range(rows):
                pair = builder.add(start, _int(row))
                inside = builder.icmp_signed("<", pair, last)
                pair = builder.select(inside, pair, end)
                source = builder.sext(builder.load(builder.gep(in_data, [pair])), _I64)
                target = builder.sub(builder.sext(builder.load(builder.gep(out_data, [pair])), _I64), row_0)
                target = builder.select(inside, target, scratch_row)
                sources.append(builder.gep(x_data, [builder.mul(source, channels)]))
                targets.append(builder.gep(y_data, [builder.mul(target, stride)]))
            sums = [_load(builder, target, v * UNIT.lanes) for target in targets for v in range(vectors)]

            def multiply(channel: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                weight = builder.gep(weights, [builder.mul(channel, _int(vectors * UNIT.lanes))])
                panel_row = [_load(builder, weight, v * UNIT.lanes) for v in range(vectors)]
                updated = []
                for row, source in enumerate(sources):
                    value = _splat(builder, builder.load(builder.gep(source, [channel])))
                    updated += [_fma(builder, value, panel_row[v], sums[row * vectors + v]) for v in range(vectors)]
                return updated

            sums = _counted_loop(builder, channels, sums, multiply)
            for i, value in enumerate(sums):
                _store(builder, value, targets[i // vectors], i % vectors * UNIT.lanes)
        return context.get_dummy_value()

    @intrinsic
    def multiply_pairs(typing, x, in_rows, out_rows, first, last, panel, panel_start, y, row_0, column):  # noqa: ANN001, ANN202
        int64 = types.int64
        return types.void(x, in_rows, out_rows, int64, int64, panel, int64, y, int64, int64), generate

    return multiply_pairs


def gradient_tile(vectors: int) -> Callable:
    """Make the intrinsic that adds the outer products of all pairs [first, last) to one tile of a weight gradient.

    Its arguments: a (n, A), a_rows, its first column, b (n, B), b_rows, its first column, first, last, the gradient
    (flat), where the tile begins in it and its row stride. The tile is ``GRADIENT_ROWS`` columns of a by
    ``vectors x lanes`` columns of b.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        a, a_rows, a_column, b, b_rows, b_column, first, last, gradient, start, row_stride = args
        kinds = signature.args
        a_width, b_width = (
            builder.extract_value(context.make_array(kinds[i])(context, builder, args[i]).shape, 1) for i in (0, 3)
        )
        a_data = builder.gep(_pointer(context, builder, kinds[0], a), [a_column])
        b_data = builder.gep(_pointer(context, builder, kinds[3], b), [b_column])
        a_index = builder.gep(_pointer(context, builder, kinds[1], a_rows), [first])
        b_index = builder.gep(_pointer(context, builder, kinds[4], b_rows), [first])
        corner = builder.gep(_pointer(context, builder, kinds[8], gradient), [start])
        lines = [builder.gep(corner, [builder.mul(row_stride, _int(row))]) for row in range(GRADIENT_ROWS)]
        sums = [_load(builder, line, v * UNIT.lanes) for line in lines for v in range(vectors)]

        def row_of(data: ir.Value, index: ir.Value, pair: ir.Value, width: ir.Value) -> ir.Value:
            row = builder.sext(builder.load(builder.gep(index, [pair])), _I64)
            return builder.gep(data, [builder.mul(row, width)])

        def add_product(pair: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            a_row = row_of(a_data, a_index, pair, a_width)
            b_row = row_of(b_data, b_index, pair, b_width)
            values = [_load(builder, b_row, v * UNIT.lanes) for v in range(vectors)]
            updated = []
            for row in range(GRADIENT_ROWS):
                factor = _splat(builder, builder.load(builder.gep(a_row, [_int(row)])))
                updated += [_fma(builder, factor, values[v], sums[row * vectors + v]) for v in range(vectors)]
            return updated

        sums = _counted_loop(builder, builder.sub(last, first), sums, add_product)
        for i, value in enumerate(sums):
            _store(builder, value, lines[i // vectors], i % vectors * UNIT.lanes)
        return context.get_dummy_value()

    @intrinsic
    def add_products(typing, a, a_rows, a_column, b, b_rows, b_column, first, last, gradient, start, stride):  # noqa: ANN001, ANN202
        int64 = types.int64
        arguments = (a, a_rows, int64, b, b_rows, int64, int64, int64, gradient, int64, int64)
        return types.void(*arguments), generate

    return add_products


@intrinsic
def claim(typing, counter):  # noqa: ANN001, ANN201
    """Return the next item of a list shared by threads: the old value of ``counter[0]``, which it increments."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        place = _pointer(context, builder, signature.args[0], args[0])
        return builder.atomic_rmw("add", place, _int(1), "monotonic")

    return types.int64(counter), generate
