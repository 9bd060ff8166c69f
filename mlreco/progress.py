"""Progress of a run: a bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

from mlreco.console import remark

_FIRST, _LONGEST = 10.0, 60.0
"""Seconds until the first line where stderr is no terminal, and between later ones; each wait is twice the one before,
up to the longest."""
COMPILING = "compiling kernels, once: later runs find them compiled"
_NAMES = {"ev": "events", "it": "iterations", "x": "steps"}


class Progress:
    """A bar with rate and time left on stderr; where stderr is no terminal, lines, none in a run of a few seconds.

    Args:
        description: name of the activity.
        total: number of steps; None where it is not known.
        initial: steps done before.
        unit: what a step is, in the rate (``ev`` gives events/s).
        shown: whether anything is shown.
        lines: whether lines are written where stderr is no terminal; without them only the compilation of kernels is
            reported.
    """

    def __init__(
        self,
        description: str,
        total: int | None = None,
        initial: int = 0,
        unit: str = "ev",
        shown: bool = True,
        lines: bool = True,
    ) -> None:
        self._is_shown = shown
        silent = not shown or not sys.stderr.isatty()
        self._bar = tqdm(
            desc=description,
            total=total,
            initial=initial,
            unit=unit,
            file=sys.stderr,
            disable=silent,
            dynamic_ncols=True,
        )
        self._lines = (
            _Lines(description, total, initial, _NAMES.get(unit, unit)) if silent and shown and lines else None
        )

    def advance(self, steps: int = 1, **numbers: float) -> None:
        """Count steps and show numbers: the latest on a terminal, in a line the means since the line before."""
        if self._lines is not None:
            self._lines.advance(steps, numbers)
            return
        if numbers and not self._bar.disable:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()}, refresh=False)
        self._bar.update(steps)

    def _tell_of_compiling(self) -> None:
        if not self._bar.disable:
            self._bar.set_postfix_str(_of_compiling())
        elif self._is_shown:
            remark(_of_compiling())

    def __enter__(self) -> Progress:
        compiling = _compiler_watch()
        if compiling is not None:
            compiling.tell_when_slow(self._tell_of_compiling)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        compiling = _compiler_watch()
        if compiling is not None:
            compiling.tell_when_slow(None)


class _Lines:
    """Progress as lines; rates leave out the time for compiling kernels."""

    def __init__(self, description: str, total: int | None, initial: int, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._initial = self._done = initial
        self._wait = _FIRST
        self._began = self._told = time.monotonic()
        self._compiling = _compiling()
        self._sums: dict[str, float] = {}
        self._counted = 0

    def advance(self, steps: int, numbers: dict[str, float]) -> None:
        self._done += steps
        self._counted += 1
        for name, value in numbers.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        now = time.monotonic()
        if now - self._told >= self._wait:
            remark(self._line(now))
            self._told, self._wait = now, min(2 * self._wait, _LONGEST)
            self._sums, self._counted = {}, 0

    def _line(self, now: float) -> str:
        rate = (self._done - self._initial) / max(now - self._began - (_compiling() - self._compiling), 1e-9)
        of_all = f" of {self._total:,}" if self._total is not None else ""
        means = "".join(f", {name} {total / self._counted:.4g}" for name, total in self._sums.items())
        left = ""
        if self._total is not None and self._done < self._total:
            left = f", {duration((self._total - self._done) / max(rate, 1e-9))} left"
        return f"{self._description}: {self._done:,}{of_all} {self._unit}{means}, {rate:.3g} {self._unit}/s{left}"


def duration(seconds: float) -> str:
    """Return a time in words: ``42 s``, ``7 min``, ``3.5 h``, ``2.1 days``."""
    for size, unit, digits in ((86400, "days", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def _of_compiling() -> str:
    """Return what to say while kernels are compiled."""
    compiled = sys.modules.get("mlreco.compiled")
    return COMPILING if compiled is None or compiled.are_kept() else f"compiling kernels: {compiled.AGAIN}"


def _compiling() -> float:
    """Return the seconds of compiling so far."""
    compiling = _compiler_watch()
    return 0.0 if compiling is None else float(compiling.seconds())


def _compiler_watch() -> Any:
    """Return the module that watches the compiler, without importing the compiler where nobody has."""
    return sys.modules.get("mlreco.compiling")
