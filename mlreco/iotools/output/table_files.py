"""Tables that are written some rows at a time and appear when complete: CSV, and Parquet through pyarrow."""

from __future__ import annotations

import csv
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mlreco.atomic import atomic_path
from mlreco.errors import UserError
from mlreco.inputs import storable

_ROW_GROUP = 1 << 16
"""Rows that are written to a Parquet file at once."""

Columns = dict[str, np.ndarray]
"""Column to its values: numbers, or texts (``U`` or objects)."""


class CSVTable:
    """A CSV file; numbers have 7 digits, and NaN is nothing.

    Args:
        stack: what the file belongs to; it appears when the stack ends without an error.
        path: its name.

    Attributes:
        rows: number of rows written, without that of the names.
    """

    def __init__(self, stack: ExitStack, path: Path) -> None:
        temporary = stack.enter_context(atomic_path(path))
        self._file = stack.enter_context(temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace"))
        self._writer = csv.writer(self._file)
        self._has_header = False
        self.rows = 0

    def write(self, columns: Columns) -> None:
        """Append rows; the columns are the same each time."""
        if not self._has_header:
            self._writer.writerow(columns)
            self._has_header = True
        rows = list(zip(*map(_texts, columns.values()), strict=True))
        self._writer.writerows(rows)
        self.rows += len(rows)

    def close(self) -> None:
        """Write what is buffered."""
        self._file.close()


class ParquetTable:
    """A Parquet file, compressed with zstd; types of columns are those of their first values.

    Args:
        stack: what the file belongs to; it appears when the stack ends without an error.
        path: its name.

    Attributes:
        rows: number of rows written.

    Raises:
        UserError: pyarrow is not installed.
    """

    def __init__(self, stack: ExitStack, path: Path) -> None:
        self._arrow = _import_arrow()
        self._path = stack.enter_context(atomic_path(path))
        self._stack = stack
        self._writer: Any = None
        self._waiting: list[Columns] = []
        self.rows = self._buffered = 0

    def write(self, columns: Columns) -> None:
        """Append rows; the columns are the same each time."""
        self._waiting.append(columns)
        count = len(next(iter(columns.values())))
        self.rows += count
        self._buffered += count
        if self._buffered >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is buffered, and the file's end."""
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        joined = {name: np.concatenate([one[name] for one in self._waiting]) for name in self._waiting[0]}
        self._waiting, self._buffered = [], 0
        table = self._arrow.table({name: self._array(values) for name, values in joined.items()})
        if self._writer is None:
            import pyarrow.parquet

            self._writer = pyarrow.parquet.ParquetWriter(self._path, table.schema, compression="zstd")
            self._stack.callback(self._writer.close)
        self._writer.write_table(table)

    def _array(self, values: np.ndarray) -> Any:
        if values.dtype.kind in "OU":
            return self._arrow.array([storable(str(value)) for value in values], self._arrow.string())
        return self._arrow.array(values)


TABLE_FILES = {"csv": CSVTable, "parquet": ParquetTable}
"""End of a file's name to what writes it."""


def _texts(values: np.ndarray) -> list[Any]:
    if values.dtype.kind != "f":
        return values.tolist()
    return ["" if value != value else f"{value:.7g}" for value in values.astype(np.float64).tolist()]


def _import_arrow() -> ModuleType:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise UserError(
            f"Parquet needs the package 'pyarrow', which is not installed in {sys.executable}: "
            "pip install 'mlreco[parquet]'"
        ) from None
    return pyarrow
