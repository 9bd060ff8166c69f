"""The CSV log of a training: one row a report, with the field's column names."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from mlreco.atomic import write_failure


class CSVLog:
    """Rows of named numbers, written and flushed as they come.

    The columns are those of the first row: ``iter, epoch, titer, tsum, ...`` and every loss term.

    Args:
        log_dir: folder, made where it is missing.
        first_iteration: iterations done before; part of the name, so that a resumed training never overwrites.
    """

    def __init__(self, log_dir: str | Path, first_iteration: int) -> None:
        self.path = Path(log_dir) / f"train_log-{first_iteration:07d}.csv"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", newline="", encoding="utf-8")
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
