"""The CSV log of a training: one row a report, with the field's column names."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from mlreco.atomic import make_folder, write_failure


class CSVLog:
    """Rows of named numbers, written and flushed as they come.

    The columns are those of the first row: ``iter, epoch, titer, tsum, ...`` and every loss term.

    Args:
        log_dir: folder, made where it is missing.
        first_iteration: iterations done before; part of the name. A log that exists is kept, the new one gets a number.
    """

    def __init__(self, log_dir: str | Path, first_iteration: int) -> None:
        stem = f"train_log-{first_iteration:07d}"
        make_folder(Path(log_dir))
        names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(1)))
        self.path = next(path for name in names if not (path := Path(log_dir) / f"{name}.csv").exists())
        try:
            self._file = self.path.open("x", newline="", encoding="utf-8")
        except OSError as error:
            raise write_failure(self.path, error) or error from error
        self._writer: csv.DictWriter | None = None

    def record(self, row: Mapping[str, float]) -> None:
        """Append a row.

        Raises:
            UserError: the disk is full.
        """
        try:
            if self._writer is None:
                self._writer = csv.DictWriter(self._file, list(row), extrasaction="raise", restval="")
                self._writer.writeheader()
            self._writer.writerow({key: _text(value) for key, value in row.items()})
            self._file.flush()
        except OSError as error:
            raise write_failure(self.path, error) or error from error

    def __enter__(self) -> CSVLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
