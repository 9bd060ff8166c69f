"""Lists of addresses of matrix rows, made once for all the register tiles that read these rows."""

from __future__ import annotations

from mlreco.sparse.cpu.codegen.shared_memory import integers_at, rows_at
from mlreco.sparse.native.jit import kernel

ADDRESS_BYTES = 8


@kernel
def list_rows(place: int, base: int, stride: int, rows: int, count: int) -> None:
    """Write the addresses of rows to a place.

    Args:
        place: where ``count`` int64 go.
        base: where row 0 begins.
        stride: bytes from a row to the next.
        rows: where the numbers of the rows are, int32.
        count: how many there are.
    """
    addresses, numbers = integers_at(place), rows_at(rows)
    for i in range(count):
        addresses[i] = base + stride * numbers[i]


@kernel
def fill_up(place: int, count: int, more: int, address: int) -> None:
    """Write an address ``more`` times behind the ``count`` that are listed."""
    addresses = integers_at(place)
    for i in range(count, count + more):
        addresses[i] = address
