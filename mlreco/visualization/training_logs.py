"""The logs of trainings, read back."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlreco.errors import UserError
from mlreco.inputs import input_file

TRAINING, VALIDATION = "train_log", "validation_log"
_LARGEST = 1 << 53
"""Iterations up to here are exact as floats, which curves consist of."""
Table = dict[str, np.ndarray]
"""Column to its (rows,) numbers; ``iter`` rises, NaN where a row has no number."""


@dataclass(frozen=True)
class RunLog:
    """The logs of a training.

    Attributes:
        name: of the run: its folder or file.
        training: rows of the reports.
        validation: rows of the validations, none where nothing was validated.
    """

    name: str
    training: Table
    validation: Table


def read_run(path: str | Path) -> RunLog:
    """Read the logs of a run.

    Args:
        path: the folder of the logs (``trainval.log_dir``), or one CSV file. Where several files have the same
            iteration, the newest file counts; empty files, of trainings that ended before their first report, do not.

    Raises:
        UserError: there is no log, or a file is none.
    """
    path = Path(path)
    if path.is_dir():
        training, validation = (
            sorted(filter(_was_begun, path.glob(f"{stem}-*.csv")), key=_age) for stem in (TRAINING, VALIDATION)
        )
    else:
        training, validation = [path], []
    if not training:
        raise UserError(f"{path}: holds no log of a training ({TRAINING}-*.csv)")
    return RunLog(str(path), _joined(training), _joined(validation))


def _was_begun(path: Path) -> bool:
    return not path.is_file() or path.stat().st_size > 0


def _age(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, path.name


def _joined(files: list[Path]) -> Table:
    rows: dict[int, dict[str, float]] = {}
    for file in files:
        rows |= {int(row["iter"]): row for row in _rows(file)}
    columns = dict.fromkeys(name for row in rows.values() for name in row)
    ordered = [rows[number] for number in sorted(rows)]
    return {name: np.array([row.get(name, np.nan) for row in ordered]) for name in columns}


def _rows(file: Path) -> list[dict[str, float]]:
    """Return the rows of a CSV file; the last one may be half written, by a training that was killed.

    Raises:
        UserError: it is no log, or no regular file.
    """
    input_file(file, "with the log of a training")
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            lines = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as the log of a training: {error}") from None
    if not lines or "iter" not in lines[0]:
        raise UserError(f"{file}: no log of a training: it has no column 'iter'")
    header, *body = lines
    if body and len(body[-1]) != len(header):
        body.pop()
    try:
        return [
            {name: float(text) for name, text in zip(header, line, strict=True) if text and np.isfinite(float(text))}
            | {"iter": _iteration(line[header.index("iter")])}
            for line in body
        ]
    except ValueError as error:
        raise UserError(f"{file}: no log of a training: {error}") from None


def _iteration(text: str) -> int:
    """Return the number of an iteration; a curve holds it as a float.

    Raises:
        ValueError: it is none, or larger than floats are exact.
    """
    number = int(text)
    if abs(number) > _LARGEST:
        raise ValueError(f"iteration {text[:20]} is beyond {_LARGEST:.0e}")
    return number
