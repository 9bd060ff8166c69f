"""The register tiles of the sparse convolution, written as LLVM vector code for numba.

A tile is a small matrix of sums that stays in vector registers while it is added to. Rows of matrices are read by
index, element by element, so that nothing is gathered into a buffer first. All operands are addresses and counts,
int64: arrays as arguments would have their references counted at every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mlreco.models.layers.sparse.cpu.simd import UNIT

_I8, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_F32, UNIT.lanes)
_FLOAT_BYTES = 4
_VECTOR_BYTES = UNIT.lanes * _FLOAT_BYTES
_AHEAD = 8
"""Pairs whose rows are brought to the nearest cache before they are needed."""


def _int(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _at(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    return builder.inttoptr(address, kind.as_pointer())


def _splat(builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    lanes = ir.Constant(ir.VectorType(_I32, UNIT.lanes), [0] * UNIT.lanes)
    return builder.shuffle_vector(single, undefined, lanes)


def _load_row(builder: ir.IRBuilder, row: ir.Value, vectors: int) -> list[ir.Value]:
    pointer = _at(builder, row, _VECTOR)
    return [builder.load(builder.gep(pointer, [_int(v)]), align=_FLOAT_BYTES) for v in range(vectors)]


def _store_row(builder: ir.IRBuilder, values: list[ir.Value], row: ir.Value) -> None:
    pointer = _at(builder, row, _VECTOR)
    for v, value in enumerate(values):
        builder.store(value, builder.gep(pointer, [_int(v)]), align=_FLOAT_BYTES)


def _broadcast(builder: ir.IRBuilder, row: ir.Value, column: ir.Value) -> ir.Value:
    return _splat(builder, builder.load(builder.gep(_at(builder, row, _F32), [column])))


def _index(builder: ir.IRBuilder, rows: ir.Value, pair: ir.Value) -> ir.Value:
    return builder.sext(builder.load(builder.gep(_at(builder, rows, _I32), [pair])), _I64)


def _fma(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    name = f"llvm.fmuladd.v{UNIT.lanes}f32"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), name)
    return builder.call(function, [a, b, c])


def _prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read, near, data = (ir.Constant(_I32, number) for number in (0, 3, 1))
    builder.call(function, [_at(builder, address, _I8), read, near, data])


def _loop(builder: ir.IRBuilder, count: ir.Value, carried: list[ir.Value], body: Callable) -> list[ir.Value]:
    """Emit ``for i in range(count): carried = body(i, carried)``, count at least 1, and return the last values."""
    before = builder.block
    block, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(block)
    builder.position_at_end(block)
    index = builder.phi(_I64)
    phis = [builder.phi(value.type) for value in carried]
    index.add_incoming(_int(0), before)
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


def _procedure(generate: Callable[[ir.IRBuilder, list[ir.Value]], None]) -> Callable:
    """Make a numba function of one tuple of int64 and without result from a generator of its code."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        generate(builder, cgutils.unpack_tuple(builder, args[0]))
        return context.get_dummy_value()

    @intrinsic
    def procedure(typing, operands):  # noqa: ANN001, ANN202
        return types.void(operands), code

    return procedure


def forward_tile(vectors: int) -> Callable:
    """Make ``tile((x, x_stride, channels, in_rows, out_rows, pairs, panel, sums, stride, row_0, spare))``.

    For every pair, row ``out_row - row_0`` of ``sums`` (``vectors`` wide) grows by row ``in_row`` of x times the panel
    (channels rows). Pairs go through in tiles of ``UNIT.rows[vectors - 1]`` rows; the last tile is filled up with
    repetitions whose sums go to the spare row. Strides are in bytes, at least one pair is required.
    """
    rows = UNIT.rows[vectors - 1]

    def generate(builder: ir.IRBuilder, operands: list[ir.Value]) -> None:
        x, x_stride, channels, in_rows, out_rows, pairs, panel, sums, stride, row_0, spare = operands
        final = builder.sub(pairs, _int(1))

        def run_tile(number: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            start = builder.mul(number, _int(rows))
            sources, targets = [], []
            for row in range(rows):
                pair = builder.add(start, _int(row))
                inside = builder.icmp_signed("<=", pair, final)
                pair = builder.select(inside, pair, final)
                sources.append(builder.add(x, builder.mul(_index(builder, in_rows, pair), x_stride)))
                place = builder.mul(builder.sub(_index(builder, out_rows, pair), row_0), stride)
                targets.append(builder.select(inside, builder.add(sums, place), spare))
            held = [value for target in targets for value in _load_row(builder, target, vectors)]

            def add_channel(channel: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
                place = builder.add(panel, builder.mul(channel, _int(vectors * _VECTOR_BYTES)))
                weights = _load_row(builder, place, vectors)
                updated = []
                for row, source in enumerate(sources):
                    value = _broadcast(builder, source, channel)
                    updated += [_fma(builder, value, weights[v], held[row * vectors + v]) for v in range(vectors)]
                return updated

            held = _loop(builder, channels, held, add_channel)
            for row, target in enumerate(targets):
                _store_row(builder, held[row * vectors : (row + 1) * vectors], target)
            return []

        _loop(builder, builder.sdiv(builder.add(pairs, _int(rows - 1)), _int(rows)), [], run_tile)

    return _procedure(generate)


def gradient_tile(vectors: int) -> Callable:
    """Make ``tile((a, a_stride, a_rows, b, b_stride, b_rows, pairs, add, sums, stride, row_0, row_1, spare))``.

    The tile is ``UNIT.gradient_rows[vectors - 1]`` columns of a by ``vectors`` vectors of b: the sum over pairs of the
    outer product of row ``a_row`` of a and row ``b_row`` of b, from the columns where the addresses a and b point.
    It is added to ``sums``, or replaces it where ``add`` is 0; rows outside [row_0, row_1) go to the spare row.
    Strides are in bytes, at least one pair is required.
    """
    rows = UNIT.gradient_rows[vectors - 1]

    def generate(builder: ir.IRBuilder, operands: list[ir.Value]) -> None:
        a, a_stride, a_rows, b, b_stride, b_rows, pairs, add, sums, stride, row_0, row_1, spare = operands
        lines = []
        for row in range(rows):
            line = builder.add(sums, builder.mul(stride, _int(row)))
            for bound, comparison in ((row_0, ">="), (row_1, "<")):
                line = builder.select(builder.icmp_signed(comparison, _int(row), bound), line, spare)
            lines.append(line)
        before = builder.block
        with builder.if_then(builder.icmp_signed("!=", add, _int(0))):
            loaded = [value for line in lines for value in _load_row(builder, line, vectors)]
            loading = builder.block
        held = []
        for value in loaded:
            phi = builder.phi(_VECTOR)
            phi.add_incoming(ir.Constant(_VECTOR, [0.0] * UNIT.lanes), before)
            phi.add_incoming(value, loading)
            held.append(phi)
        final = builder.sub(pairs, _int(1))

        def row_of(base: ir.Value, indices: ir.Value, pair: ir.Value, row_stride: ir.Value) -> ir.Value:
            return builder.add(base, builder.mul(_index(builder, indices, pair), row_stride))

        def add_pair(pair: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
            later = builder.add(pair, _int(_AHEAD))
            later = builder.select(builder.icmp_signed("<", later, final), later, final)
            _prefetch(builder, row_of(a, a_rows, later, a_stride))
            later_row = row_of(b, b_rows, later, b_stride)
            for v in range(vectors):
                _prefetch(builder, builder.add(later_row, _int(v * _VECTOR_BYTES)))
            a_row = row_of(a, a_rows, pair, a_stride)
            values = _load_row(builder, row_of(b, b_rows, pair, b_stride), vectors)
            updated = []
            for row in range(rows):
                factor = _broadcast(builder, a_row, _int(row))
                updated += [_fma(builder, factor, values[v], held[row * vectors + v]) for v in range(vectors)]
            return updated

        held = _loop(builder, pairs, held, add_pair)
        for row, line in enumerate(lines):
            _store_row(builder, held[row * vectors : (row + 1) * vectors], line)

    return _procedure(generate)


def _transposed(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Return the transpose of a square of as many vectors as a vector has lanes, by interleaving halves."""
    half = UNIT.lanes // 2
    low = [lane // 2 + UNIT.lanes * (lane % 2) for lane in range(UNIT.lanes)]
    masks = [ir.Constant(ir.VectorType(_I32, UNIT.lanes), [lane + shift for lane in low]) for shift in (0, half)]
    distance = UNIT.lanes
    while distance > 1:
        pairs = [(rows[i], rows[i + half]) for i in range(half)]
        rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in masks]
        distance //= 2
    return rows


def _transpose_squares() -> Callable:
    """Make ``transpose((source, source_stride, target, target_stride, squares))``.

    Each square has as many rows and columns as a vector has lanes. Squares follow each other along the rows of the
    source and down the target. Strides are in bytes, at least one square is required.
    """

    def generate(builder: ir.IRBuilder, operands: list[ir.Value]) -> None:
        source, source_stride, target, target_stride, squares = operands

        def move(square: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            corner = builder.add(source, builder.mul(square, _int(_VECTOR_BYTES)))
            first = builder.mul(square, _int(UNIT.lanes))
            rows = []
            for i in range(UNIT.lanes):
                rows += _load_row(builder, builder.add(corner, builder.mul(source_stride, _int(i))), 1)
            for i, row in enumerate(_transposed(builder, rows)):
                place = builder.mul(target_stride, builder.add(first, _int(i)))
                _store_row(builder, [row], builder.add(target, place))
            return []

        _loop(builder, squares, [], move)

    return _procedure(generate)


transpose_squares = _transpose_squares()


@intrinsic
def claim(typing, counter):  # noqa: ANN001, ANN201
    """Return the next item of a list that threads share: the int64 at an address, which it increments."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.atomic_rmw("add", _at(builder, args[0], _I64), _int(1), "monotonic")

    return types.int64(types.int64), generate
