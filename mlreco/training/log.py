"""The CSV log of a training: one row a report, with the field's column names."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mlreco.atomic import make_folder, write_failure


class CSVLog:
    """Rows of named numbers, written as they come, each of them whole or not at all.

    The columns are those of the first row: ``iter, epoch, titer, tsum, ...`` and every loss term. A resumed training
    goes on in the file of the one before, after the last row that its checkpoint knew of: later rows are removed,
    because these iterations are done again.

    Args:
        log_dir: folder, made where it is missing.
        first_iteration: iterations done before; part of the name of a new file. One that exists is kept, the new one
            gets a number.
        before: :meth:`state` of the log that is continued; one of another folder is left alone.
        name: beginning of the name of a new file.
    """

    def __init__(
        self,
        log_dir: str | Path,
        first_iteration: int,
        before: Mapping[str, Any] | None = None,
        name: str = "train_log",
    ) -> None:
        make_folder(Path(log_dir))
        self._columns: Sequence[str] = ()
        before = before or {}
        continued = _continued(Path(log_dir), before)
        self.path = continued or _free_name(Path(log_dir), f"{name}-{first_iteration:07d}")
        try:
            if continued is not None:
                os.truncate(continued, min(before["bytes"], continued.stat().st_size))
                self._columns = _header(continued)
            self._file = self.path.open("ab" if continued else "xb", buffering=0)
            self._bytes = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise write_failure(self.path, error) or error from error
        self._unwritten: Mapping[str, float] = {}
        if continued is not None and before.get("unwritten"):
            self.record(before["unwritten"])

    def record(self, row: Mapping[str, float]) -> None:
        """Append a row; numbers that the file has no column for are left out.

        Raises:
            UserError: the disk is full; the row is then a part of :meth:`state`.
        """
        columns = self._columns or list(row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, extrasaction="ignore", restval="")
        if not self._columns:
            writer.writeheader()
        writer.writerow({key: _text(value) for key, value in row.items()})
        self._unwritten = dict(row)
        self._write(text.getvalue().encode())
        self._columns, self._unwritten = columns, {}

    def _write(self, text: bytes) -> None:
        """Append text as a whole, or leave the file as it was.

        Raises:
            UserError: the disk is full.
        """
        left = memoryview(text)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), self._bytes)
            raise write_failure(self.path, error) or error from error
        self._bytes += len(text)

    def state(self) -> dict[str, Any]:
        """Return the state of the log, for a training that continues from here, with a row that it could not write."""
        state = {"path": str(self.path.resolve()), "bytes": self._bytes}
        return {**state, "unwritten": dict(self._unwritten)} if self._unwritten else state

    def __enter__(self) -> CSVLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _continued(folder: Path, before: Mapping[str, Any]) -> Path | None:
    """Return the file of the log to continue, None where there is none in this folder."""
    path = Path(str(before.get("path", "")))
    same = path.is_file() and path.parent == folder.resolve() and isinstance(before.get("bytes"), int)
    return path if same else None


def _free_name(folder: Path, stem: str) -> Path:
    names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(1)))
    return next(path for name in names if not (path := folder / f"{name}.csv").exists())


def _header(path: Path) -> list[str]:
    with contextlib.suppress(UnicodeDecodeError), path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])
    return []


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
