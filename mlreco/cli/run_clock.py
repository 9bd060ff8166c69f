"""The working time of a command, and the time that it waited for compiled kernels."""

from __future__ import annotations

import sys
import time

_WORTH_TELLING = 0.5
"""Shorter waits are not reported, in seconds."""


class RunClock:
    """Time since it was made; that for compiling kernels counts in no rate."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._compiling, self._kernels = _compiler()

    def seconds(self) -> float:
        """Return the seconds of work, without those for compiled kernels."""
        return max(time.perf_counter() - self._started - (_compiler()[0] - self._compiling), 1e-9)

    def once(self) -> str:
        """Return what was spent on compiled kernels, in words, empty if that is hardly anything."""
        compiling, kernels = _compiler()
        return told_once(compiling - self._compiling, kernels - self._kernels)


def told_once(seconds: float, kernels: int) -> str:
    """Return the time spent on compiled kernels as the end of a line, empty if that is hardly any.

    Args:
        seconds: of waiting for them.
        kernels: how many were compiled; 0 where all were kept from earlier runs.
    """
    if seconds <= _WORTH_TELLING:
        return ""
    compiled = sys.modules.get("mlreco.compiled")
    once = ", once" if compiled is None or compiled.are_kept() else ""
    return f"; {f'compiling kernels{once}' if kernels else 'loading compiled kernels'}: {seconds:.1f} s"


def _compiler() -> tuple[float, int]:
    """Return seconds and kernels so far, without importing the compiler where nobody has."""
    compiling = sys.modules.get("mlreco.compiling")
    return (0.0, 0) if compiling is None else (compiling.seconds(), compiling.kernels())
