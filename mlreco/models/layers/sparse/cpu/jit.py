"""The one way in which this package compiles numba kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numba


def _sources() -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change and size of every file of this package."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


_SOURCES = _sources()


def kernel(function: Callable) -> Callable:
    """Compile a function with numba at its first call: without the interpreter lock, kept on disk where possible.

    numba checks kept code against the file of the kernel alone; code that another file of this package has gone into
    (a register tile) is compiled again when that has changed, too. A place without any writable cache folder (a
    read-only container) compiles at every start.
    """
    options = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
    index = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, _SOURCES)
    return compiled
