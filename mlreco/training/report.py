"""Reports of a training: the same numbers as CSV, in TensorBoard and on the terminal."""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from mlreco.compiling import Stopwatch
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.progress import Progress
from mlreco.training.interval import Interval
from mlreco.training.log import CSVLog

_SECONDS_BETWEEN_LINES = 10.0
"""Seconds between two reports on the terminal where no progress bar is shown, at least."""


class Reporter:
    """Collects the numbers of every iteration, and reports their means every ``report_step`` iterations.

    Args:
        trainval: the section of the configuration.
        first_iteration: iterations done before.
        iterations: when the training is complete.
        before: :meth:`state` of the training that is continued.
    """

    def __init__(
        self, trainval: Mapping[str, Any], first_iteration: int, iterations: int, before: Mapping[str, Any]
    ) -> None:
        self.step, self.iterations, self._first = trainval["report_step"], iterations, first_iteration
        self._stack = contextlib.ExitStack()
        self._log = self._stack.enter_context(CSVLog(trainval["log_dir"], first_iteration, before.get("log")))
        self._interval = Interval(before.get("interval"))
        self._board = self._stack.enter_context(_board(trainval, first_iteration))
        self._validations: CSVLog | None = None
        if trainval["validation"] is not None:
            log = CSVLog(trainval["log_dir"], first_iteration, before.get("validation"), "validation_log")
            self._validations = self._stack.enter_context(log)
        bar = Progress("training", total=iterations, initial=first_iteration, unit="it", lines=False)
        self._progress = self._stack.enter_context(bar)
        self._clock, self._seconds = Stopwatch(), 0.0
        self._told = time.monotonic()
        remark(f"log: {self._log.path}")

    @property
    def path(self) -> Any:
        """The CSV file."""
        return self._log.path

    def record(self, row: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float] | None:
        """Add the numbers of an iteration, and the weights of its terms; return the row if one was reported."""
        self._interval.add(row, weights)
        self._progress.advance(1, loss=row["loss"])
        if row["iter"] % self.step and row["iter"] != self.iterations:
            return None
        told = self._interval.row()
        self._log.record(told)
        self.show(told, int(told["iter"]))
        if not sys.stderr.isatty():
            self._tell(told)
        return told

    def validated(self, iteration: int, numbers: Mapping[str, float], best: str) -> None:
        """Report the numbers of a validation; on the terminal only the selecting number and the most usual ones."""
        if self._validations is not None:
            self._validations.record({"iter": iteration, **numbers})
        self.show({f"validation/{name}": value for name, value in numbers.items()}, iteration)
        shown = dict.fromkeys([best, "loss", "segmentation_accuracy", "ari_all"])
        told = ", ".join(f"{name} {numbers[name]:.4g}" for name in shown if name in numbers)
        remark(f"validation after {iteration} iterations: {told}")

    def show(self, numbers: Mapping[str, float], iteration: int) -> None:
        """Write numbers for TensorBoard if it is switched on."""
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, iteration)
            self._board.flush()

    def state(self) -> dict[str, Any]:
        """Return the state of the reports, for a training that continues from here."""
        state = {"log": self._log.state(), "interval": self._interval.state()}
        return state if self._validations is None else {**state, "validation": self._validations.state()}

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _tell(self, row: Mapping[str, float]) -> None:
        """Write a report to the terminal."""
        now, iteration = time.monotonic(), int(row["iter"])
        if now - self._told < _SECONDS_BETWEEN_LINES and iteration != self.iterations:
            return
        self._told = now
        self._seconds += self._clock.lap()
        rate = (iteration - self._first) / max(self._seconds, 1e-9)
        left = datetime.timedelta(seconds=round((self.iterations - iteration) / rate))
        accuracies = {name: value for name, value in row.items() if name.endswith("_accuracy")}
        losses = {name: value for name, value in row.items() if name.endswith("loss")}
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in (losses | accuracies).items())
        remark(
            f"iteration {iteration} of {self.iterations}: {numbers}; {row['events_per_s']:.3g} events/s, "
            f"{row['waiting']:.0%} waiting, {row['memory_gb']:.1f} GB, {left} left"
        )


@contextlib.contextmanager
def _board(trainval: Mapping[str, Any], first_iteration: int) -> Any:
    """Return a writer of TensorBoard's files, or None."""
    if not trainval["tensorboard"]:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "trainval.tensorboard: the package 'tensorboard' is not installed: pip install 'mlreco[tensorboard]'"
        ) from error
    with SummaryWriter(trainval["log_dir"], purge_step=first_iteration + 1 if first_iteration else None) as writer:
        yield writer
