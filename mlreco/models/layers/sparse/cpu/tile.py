"""The register tiles of the sparse convolution, written as LLVM vector code for numba.

A tile is a small matrix of sums that stays in vector registers while it is added to. Rows of matrices are read by
index, element by element, so that nothing is gathered into a buffer first. All operands are addresses and counts,
int64: arrays as arguments would have their references counted at every call.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from mlreco.models.layers.sparse.cpu.simd import UNIT
from mlreco.models.layers.sparse.cpu.vector_code import (
    FLOAT_BYTES,
    I64,
    LINE_BYTES,
    VECTOR,
    VECTOR_BYTES,
    broadcast,
    integer,
    load_row,
    loop,
    multiply_add,
    prefetch,
    procedure,
    row_number,
    store_row,
)

_CHANNELS_A_LINE = LINE_BYTES // FLOAT_BYTES
_AHEAD = 24
"""Pairs whose rows are brought to the nearest cache before they are needed."""


def forward_tile(vectors: int) -> Callable:
    """Make the tile of the convolution, ``vectors`` wide.

    Takes x, x_stride, channels, in_rows, out_rows, pairs, panel, panel_stride, following, sums, stride, row_0, spare.
    For every pair, row ``out_row - row_0`` of ``sums`` (``vectors`` wide) grows by row ``in_row`` of x times the panel
    (channels rows). Pairs go through in tiles of ``UNIT.rows[vectors - 1]`` rows; the last tile is filled up with
    repetitions whose sums go to the spare row. Meanwhile the rows of x of the next tile are brought into the nearest
    cache, a line of a row at every channel, and the panel at ``following`` into the second. Strides are in bytes, at
    least one pair is required.
    """
    rows = UNIT.rows[vectors - 1]

    def generate(builder: ir.IRBuilder, operands: list[ir.Value]) -> None:
        x, x_stride, channels, in_rows, out_rows, pairs, panel, panel_stride, *others = operands
        following, sums, stride, row_0, spare = others
        final = builder.sub(pairs, integer(1))
        with builder.goto_entry_block():
            two_tables = builder.alloca(I64, 2 * _CHANNELS_A_LINE)

        def look_up(number: ir.Value) -> tuple[list[ir.Value], ir.Value]:
            """Return where a tile's rows of x, then those of the sums are, and a table of the former."""
            turn = builder.and_(number, integer(1))
            table = builder.gep(two_tables, [builder.mul(turn, integer(_CHANNELS_A_LINE))])
            sources, targets = [], []
            for row in range(rows):
                pair = builder.add(builder.mul(number, integer(rows)), integer(row))
                inside = builder.icmp_signed("<=", pair, final)
                pair = builder.select(inside, pair, final)
                sources.append(builder.add(x, builder.mul(row_number(builder, in_rows, pair), x_stride)))
                place = builder.mul(builder.sub(row_number(builder, out_rows, pair), row_0), stride)
                targets.append(builder.select(inside, builder.add(sums, place), spare))
            for slot in range(_CHANNELS_A_LINE):
                builder.store(sources[min(slot, rows - 1)], builder.gep(table, [integer(slot)]))
            return sources + targets, table

        def run_tile(number: ir.Value, places: list[ir.Value]) -> list[ir.Value]:
            sources, targets = places[:rows], places[rows:]
            held = [value for target in targets for value in load_row(builder, target, vectors)]
            places, table = look_up(builder.add(number, integer(1)))
            ahead = builder.mul(number, integer(LINE_BYTES))
            early = builder.icmp_signed("<", number, integer(vectors * VECTOR_BYTES // LINE_BYTES))
            ahead = builder.select(early, builder.add(following, ahead), following)

            def add_channel(channel: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
                skipped = builder.mul(channel, panel_stride)
                place = builder.add(panel, skipped)
                weights = load_row(builder, place, vectors)
                prefetch(builder, builder.add(ahead, skipped), locality=2)
                row = builder.load(builder.gep(table, [builder.and_(channel, integer(_CHANNELS_A_LINE - 1))]))
                line = builder.mul(builder.and_(channel, integer(-_CHANNELS_A_LINE)), integer(FLOAT_BYTES))
                prefetch(builder, builder.add(row, line))
                updated = []
                for row, source in enumerate(sources):
                    value = broadcast(builder, source, channel)
                    updated += [
                        multiply_add(builder, value, weights[v], held[row * vectors + v]) for v in range(vectors)
                    ]
                return updated

            held = loop(builder, channels, held, add_channel)
            for row, target in enumerate(targets):
                store_row(builder, held[row * vectors : (row + 1) * vectors], target)
            return places

        tiles = builder.sdiv(builder.add(pairs, integer(rows - 1)), integer(rows))
        loop(builder, tiles, look_up(integer(0))[0], run_tile)

    return procedure(generate)


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
            line = builder.add(sums, builder.mul(stride, integer(row)))
            for bound, comparison in ((row_0, ">="), (row_1, "<")):
                line = builder.select(builder.icmp_signed(comparison, integer(row), bound), line, spare)
            lines.append(line)
        before = builder.block
        with builder.if_then(builder.icmp_signed("!=", add, integer(0))):
            loaded = [value for line in lines for value in load_row(builder, line, vectors)]
            loading = builder.block
        held = []
        for value in loaded:
            phi = builder.phi(VECTOR)
            phi.add_incoming(ir.Constant(VECTOR, [0.0] * UNIT.lanes), before)
            phi.add_incoming(value, loading)
            held.append(phi)
        final = builder.sub(pairs, integer(1))

        def row_of(base: ir.Value, indices: ir.Value, pair: ir.Value, row_stride: ir.Value) -> ir.Value:
            return builder.add(base, builder.mul(row_number(builder, indices, pair), row_stride))

        def add_pair(pair: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
            later = builder.add(pair, integer(_AHEAD))
            later = builder.select(builder.icmp_signed("<", later, final), later, final)
            prefetch(builder, row_of(a, a_rows, later, a_stride))
            later_row = row_of(b, b_rows, later, b_stride)
            for v in range(vectors):
                prefetch(builder, builder.add(later_row, integer(v * VECTOR_BYTES)))
            a_row = row_of(a, a_rows, pair, a_stride)
            values = load_row(builder, row_of(b, b_rows, pair, b_stride), vectors)
            updated = []
            for row in range(rows):
                factor = broadcast(builder, a_row, integer(row))
                updated += [multiply_add(builder, factor, values[v], held[row * vectors + v]) for v in range(vectors)]
            return updated

        held = loop(builder, pairs, held, add_pair)
        for row, line in enumerate(lines):
            store_row(builder, held[row * vectors : (row + 1) * vectors], line)

    return procedure(generate)
