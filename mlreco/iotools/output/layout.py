"""Names and settings of the output file."""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np

from mlreco.inputs import storable
from mlreco.iotools.output.deflate import LEVEL, deflated

FORMAT = "spine_hdf5"
FORMAT_VERSION = 2
CHUNK_ROWS = 4096
"""Rows of a chunk; fewer where rows are wide."""

_CHUNK_BYTES = 1 << 18


def chunk_shape(row_shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    """Return the chunk of a table whose rows have ``row_shape``: 4096 rows, at most 256 kB."""
    row_bytes = max(int(np.prod(row_shape, dtype=np.int64)) * dtype.itemsize, 1)
    return (max(1, min(CHUNK_ROWS, _CHUNK_BYTES // row_bytes)), *(max(1, size) for size in row_shape))


def create_table(group: h5py.Group, name: str, row_shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
    """Create an empty, growing table, gzip-1 with shuffle."""
    return group.create_dataset(
        name,
        shape=(0, *row_shape),
        maxshape=(None, *row_shape),
        dtype=dtype,
        chunks=chunk_shape(row_shape, dtype),
        compression="gzip",
        compression_opts=LEVEL,
        shuffle=True,
    )


def extend_table(table: h5py.Dataset, rows: np.ndarray) -> None:
    """Append rows to a table of ``create_table``.

    Whole chunks are compressed here and handed to the library as they are: it would hold the interpreter's lock while
    it compresses, and the network waits for that.
    """
    start, length = table.shape[0], table.chunks[0]
    table.resize(start + len(rows), axis=0)
    rows = np.ascontiguousarray(rows, table.dtype)
    first = min(-start % length, len(rows))
    last = first + (len(rows) - first) // length * length
    for begin, end in ((0, first), (last, len(rows))):
        if begin < end:
            table[start + begin : start + end] = rows[begin:end]
    elsewhere = (0,) * (rows.ndim - 1)
    for place in range(first, last, length):
        table.id.write_direct_chunk((start + place, *elsewhere), deflated(rows[place : place + length]))


def to_attribute(value: Any) -> Any:
    """Return a value in the form in which an attribute holds it: dictionaries and mixed lists become JSON text."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, (bool, int, float, np.generic, np.ndarray)):
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value):
        return list(map(storable, value))
    return json.dumps(value, default=str)


def from_attribute(value: Any) -> Any:
    """Return an attribute as Python types: text, numbers, lists, None where it holds nothing; JSON text stays text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, np.ndarray):
        return [from_attribute(item) for item in value.tolist()]
    if isinstance(value, h5py.Empty):
        return None
    return value.item() if isinstance(value, np.generic) else value
