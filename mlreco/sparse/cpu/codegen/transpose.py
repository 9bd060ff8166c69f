"""Transposition in vector registers, for weights that are transposed in memory."""

from __future__ import annotations

from llvmlite import ir

from mlreco.sparse.cpu.codegen.intrinsics import Procedure, procedure
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.codegen.vector_code import (
    I32,
    VECTOR_BYTES,
    integer,
    load_row,
    loop,
    store_row,
)


def _transposed(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Return the transpose of a square matrix of vectors, by repeatedly interleaving its halves."""
    half = UNIT.lanes // 2
    low = [lane // 2 + UNIT.lanes * (lane % 2) for lane in range(UNIT.lanes)]
    masks = [ir.Constant(ir.VectorType(I32, UNIT.lanes), [lane + shift for lane in low]) for shift in (0, half)]
    distance = UNIT.lanes
    while distance > 1:
        pairs = [(rows[i], rows[i + half]) for i in range(half)]
        rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in masks]
        distance //= 2
    return rows


def _transpose_squares() -> Procedure:
    """Make ``transpose((source, source_stride, target, target_stride, squares))``.

    A square has as many rows and columns as a vector has lanes. The squares of the source are side by side, those of
    the target one below the other. Strides are in bytes; at least one square is required.
    """

    def generate(builder: ir.IRBuilder, operands: list[ir.Value]) -> None:
        source, source_stride, target, target_stride, squares = operands

        def move(square: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            corner = builder.add(source, builder.mul(square, integer(VECTOR_BYTES)))
            first = builder.mul(square, integer(UNIT.lanes))
            rows = []
            for i in range(UNIT.lanes):
                rows += load_row(builder, builder.add(corner, builder.mul(source_stride, integer(i))), 1)
            for i, row in enumerate(_transposed(builder, rows)):
                place = builder.mul(target_stride, builder.add(first, integer(i)))
                store_row(builder, [row], builder.add(target, place))
            return []

        loop(builder, squares, [], move)

    return procedure(generate)


transpose_squares = _transpose_squares()
