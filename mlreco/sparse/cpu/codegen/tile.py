"""The register tiles of the sparse convolution, written as LLVM vector code for numba.

A tile is a small matrix of sums that stays in vector registers while products are added to it. Rows of matrices are
read at their addresses, so that nothing is gathered into a buffer first. All operands are addresses and counts, int64:
numba counts the references of array arguments at every call.
"""

from __future__ import annotations

from llvmlite import ir

from mlreco.sparse.cpu.codegen.intrinsics import Procedure, procedure
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.codegen.vector_code import (
    FLOAT_BYTES,
    LINE_BYTES,
    VECTOR,
    VECTOR_BYTES,
    broadcast,
    integer,
    listed,
    load_row,
    loop,
    multiply_add,
    prefetch,
    store_row,
)

_STEP = UNIT.channels
_STEPS_A_LINE = LINE_BYTES // (FLOAT_BYTES * _STEP)


def _lines_a_step(rows: int) -> int:
    """Return how many cache lines of the next tile's rows are prefetched at every step."""
    return -(-rows // _STEPS_A_LINE)


BEYOND = max(rows - 1 + _STEPS_A_LINE * _lines_a_step(rows) for rows in UNIT.rows)
"""Most addresses after the last source that the last tile and its prefetches read from the list."""


def forward_tile(vectors: int) -> Procedure:
    """Make ``tile((sources, targets, column, tiles, channels, panel, panel_stride, following))``, ``vectors`` wide.

    To every target row, from ``column`` bytes after its address on, the product of its source row and the panel
    (``channels`` rows) is added. ``sources`` and ``targets`` are addresses of lists of row addresses, int64, for
    ``tiles`` tiles of ``UNIT.rows[vectors - 1]`` rows; sources has ``BEYOND`` more. Meanwhile the source rows of the
    next tile are prefetched into the first-level cache, and the panel at ``following`` into the second. Strides are in
    bytes.
    """
    rows = UNIT.rows[vectors - 1]
    lines_a_step = _lines_a_step(rows)

    def generate(builder: ir.IRBuilder, operands: list[ir.Value]) -> None:
        sources, targets, column, tiles, channels, panel, panel_stride, following = operands
        steps = builder.ashr(channels, integer(_STEP.bit_length() - 1))
        left = builder.and_(channels, integer(_STEP - 1))

        def run_tile(number: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            first = builder.mul(number, integer(rows))
            lines = [listed(builder, sources, builder.add(first, integer(row))) for row in range(rows)]
            next_tile = builder.add(first, integer(rows))
            ahead = builder.mul(number, integer(LINE_BYTES))
            early = builder.icmp_signed("<", number, integer(vectors * VECTOR_BYTES // LINE_BYTES))
            ahead = builder.select(early, builder.add(following, ahead), following)

            def target(row: int) -> ir.Value:
                return builder.add(listed(builder, targets, builder.add(first, integer(row))), column)

            def add_channel(channel: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
                weights = load_row(builder, builder.add(panel, builder.mul(channel, panel_stride)), vectors)
                values = [broadcast(builder, line, channel) for line in lines]
                return _grown(builder, held, values, weights)

            def add_step(step: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
                slot = builder.mul(builder.and_(step, integer(_STEPS_A_LINE - 1)), integer(lines_a_step))
                line = builder.mul(builder.and_(step, integer(-_STEPS_A_LINE)), integer(_STEP * FLOAT_BYTES))
                for place in range(lines_a_step):
                    row = listed(builder, sources, builder.add(next_tile, builder.add(slot, integer(place))))
                    prefetch(builder, builder.add(row, line))
                for place in range(_STEP):
                    channel = builder.add(builder.mul(step, integer(_STEP)), integer(place))
                    prefetch(builder, builder.add(ahead, builder.mul(channel, panel_stride)), locality=2)
                    held = add_channel(channel, held)
                return held

            held = [value for row in range(rows) for value in load_row(builder, target(row), vectors)]
            held = loop(builder, steps, held, add_step)
            done = builder.sub(channels, left)
            held = loop(builder, left, held, lambda number, held: add_channel(builder.add(done, number), held))
            for row in range(rows):
                store_row(builder, held[row * vectors : (row + 1) * vectors], target(row))
            return []

        loop(builder, tiles, [], run_tile)

    return procedure(generate)


def _grown(builder: ir.IRBuilder, held: list[ir.Value], values: list[ir.Value], row: list[ir.Value]) -> list[ir.Value]:
    """Return the sums of a tile, row by row, plus the outer product of a column of values and a row."""
    products = ((value, vector) for value in values for vector in row)
    return [multiply_add(builder, *product, total) for product, total in zip(products, held, strict=True)]


def gradient_tile(rows: int, vectors: int) -> Procedure:
    """Make ``tile((a_rows, a_column, b_rows, b_column, pairs, add, sums, stride, row_0, row_1, spare))``.

    The tile is the sum over pairs of the outer product of ``rows`` columns of a row of a and ``vectors`` vectors of a
    row of b. ``a_rows`` and ``b_rows`` are addresses of lists of row addresses, int64; the tile's columns begin
    ``a_column`` and ``b_column`` bytes after these. The tile is added to ``sums``, or overwrites them where ``add`` is
    0. Those of its rows that are outside [row_0, row_1) are written to the row at ``spare`` instead. Strides are in
    bytes.
    """

    def generate(builder: ir.IRBuilder, operands: list[ir.Value]) -> None:
        a_rows, a_column, b_rows, b_column, pairs, add, sums, stride, row_0, row_1, spare = operands
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

        def add_pair(pair: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
            a_row = builder.add(listed(builder, a_rows, pair), a_column)
            b_row = load_row(builder, builder.add(listed(builder, b_rows, pair), b_column), vectors)
            return _grown(builder, held, [broadcast(builder, a_row, integer(row)) for row in range(rows)], b_row)

        held = loop(builder, pairs, held, add_pair)
        for row, line in enumerate(lines):
            store_row(builder, held[row * vectors : (row + 1) * vectors], line)

    return procedure(generate)
