"""Lists of addresses of matrix rows, computed once for all register tiles that read these rows."""

from __future__ import annotations

from mlreco.sparse.cpu.codegen.shared_memory import integers_at, rows_at
from mlreco.sparse.native.jit import kernel

ADDRESS_BYTES = 8


@kernel
def list_rows(place: int, base: int, stride: int, rows: int, count: int) -> None:
    """Write the addresses of rows.

    Args:
        place: address at which ``count`` int64 are written.
        base: address of row 0.
        stride: bytes from a row to the next.
        rows: address of the row numbers, int32.
        count: number of rows.
    """
    addresses, numbers = integers_at(place), rows_at(rows)
    for i in range(count):
        addresses[i] = base + stride * numbers[i]


@kernel
def fill_up(place: int, count: int, more: int, address: int) -> None:
    """Write an address ``more`` times after the ``count`` addresses of a list at ``place``."""
    addresses = integers_at(place)
    for i in range(count, count + more):
        addresses[i] = address
