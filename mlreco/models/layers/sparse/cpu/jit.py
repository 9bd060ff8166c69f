"""The ways in which this package compiles numba kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core.ccallback import CFunc

_OPTIONS = {"error_model": "numpy", "boundscheck": False}
_SIGNATURE = types.void(types.int64, types.int64)


def _sources() -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change and size of every file of this package."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


_SOURCES = _sources()


def _watch_all_sources(compiled: Any) -> None:
    """Have code on disk compiled again when any file of this package has changed.

    numba checks kept code against the file of the kernel alone, but code of other files has gone into it, too.
    """
    index = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, _SOURCES)


def kernel(function: Callable) -> Callable:
    """Compile a function with numba at its first call: without the interpreter lock, kept on disk where possible.

    A place without any writable cache folder (a read-only container) compiles at every start.
    """
    options = {"nogil": True, **_OPTIONS}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
    _watch_all_sources(compiled)
    return compiled


class SharedKernel:
    """A kernel that threads run together, called by the address of its machine code.

    Args:
        function: takes the address of a job, a structure of numbers and addresses, and the number of the worker.
    """

    def __init__(self, function: Callable[[int, int], None]) -> None:
        self._function = function
        self._compiled: CFunc | None = None
        self._compiling = threading.Lock()

    @property
    def compiled(self) -> CFunc:
        """The machine code, compiled or taken from the disk at the first use; threads that are first at once share it.

        It stays where it is: its address goes into calls, and code that two threads made each for itself would be given
        back by one of them.
        """
        if self._compiled is None:
            with self._compiling:
                if self._compiled is None:
                    self._compiled = self._compile()
        return self._compiled

    def _compile(self) -> CFunc:
        code = CFunc(self._function, (_SIGNATURE.args, _SIGNATURE.return_type), {}, dict(_OPTIONS))
        with suppress(RuntimeError):  # no writable cache folder
            code.enable_caching()
        _watch_all_sources(code)
        code.compile()
        return code

    @cached_property
    def address(self) -> int:
        """Where the machine code begins."""
        return self.compiled.address
