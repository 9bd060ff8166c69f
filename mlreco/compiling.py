"""Time for compiling or loading kernels, which occurs once per process and is left out of all rates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from numba.core import event

_PATIENCE = 3.0
"""Seconds of compiling after which the user is informed."""
_LOCK_EVENT, _COMPILE_EVENT = "numba:compiler_lock", "numba:compile"
"""Events that numba reports: a thread waits for the compiler's lock or holds it; a function is compiled."""


class _Watch(event.Listener):
    """Adds up the time in which threads wait for the compiler's lock or hold it."""

    def __init__(self) -> None:
        self.compiled = 0
        self.tell: Callable[[], None] | None = None
        self._own = threading.local()
        self._guard = threading.Lock()
        self._active = 0
        self._began = self._total = 0.0

    def on_start(self, event: event.Event) -> None:
        if event.kind == _COMPILE_EVENT:
            self.compiled += 1
            self._tell_once()
            return
        own = self._own
        own.depth = getattr(own, "depth", 0) + 1
        if own.depth > 1:
            return
        own.began = time.perf_counter()
        with self._guard:
            self._active += 1
            if self._active == 1:
                self._began = own.began

    def on_end(self, event: event.Event) -> None:
        own = self._own
        if event.kind == _COMPILE_EVENT or not getattr(own, "depth", 0):
            return
        own.depth -= 1
        if own.depth:
            return
        now = time.perf_counter()
        own.total = getattr(own, "total", 0.0) + now - own.began
        with self._guard:
            self._active -= 1
            if not self._active:
                self._total += now - self._began

    def _tell_once(self) -> None:
        if self.tell is not None and self.of_all() > _PATIENCE:
            tell, self.tell = self.tell, None
            tell()

    def of_thread(self) -> float:
        return getattr(self._own, "total", 0.0)

    def of_all(self) -> float:
        with self._guard:
            return self._total + (time.perf_counter() - self._began if self._active else 0.0)


_watch = _Watch()
event.register(_LOCK_EVENT, _watch)
event.register(_COMPILE_EVENT, _watch)


def seconds_of_thread() -> float:
    """Return how long this thread has waited for compiled kernels since the import of this module."""
    return _watch.of_thread()


def seconds() -> float:
    """Return the wall-clock time in which any thread waited for compiled kernels since then."""
    return _watch.of_all()


def kernels() -> int:
    """Return how many kernels were compiled since then; those that were kept from earlier processes do not count."""
    return _watch.compiled


def tell_when_slow(tell: Callable[[], None] | None) -> None:
    """Call a function once, as soon as kernels have been compiled for some seconds; None cancels this."""
    _watch.tell = tell


class Stopwatch:
    """Measures a thread's time without that for compiled kernels."""

    def __init__(self) -> None:
        self._began, self._compiling = time.perf_counter(), seconds_of_thread()

    def lap(self) -> float:
        """Return the seconds since the beginning or the last call."""
        now, compiling = time.perf_counter(), seconds_of_thread()
        elapsed = now - self._began - (compiling - self._compiling)
        self._began, self._compiling = now, compiling
        return elapsed
