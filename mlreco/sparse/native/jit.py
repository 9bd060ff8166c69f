"""The ways in which this package compiles numba kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from numba import types
from numba.core.ccallback import CFunc

from mlreco.compiled import compiled, file_stamp, stamp_of, watch

_OPTIONS = {"error_model": "numpy", "boundscheck": False}
_SIGNATURE = types.void(types.int64, types.int64)


_ENGINE = Path(__file__).parents[1]


def _generators() -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change and size of the files that write machine code themselves, for any kernel."""
    files = [*_ENGINE.glob("cpu/codegen/*.py"), _ENGINE / "cpu/threads/wakeup.py"]
    return tuple(map(file_stamp, sorted(files)))


def kernel(function: Callable) -> Callable:
    """Compile a function of the engine as ``mlreco.compiled`` does; also anew when generated code may have changed."""
    made = compiled(function, **_OPTIONS)
    watch(made, _generators)
    return made


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
        watch(code, lambda: (stamp_of(self._function), _generators()))
        code.compile()
        return code

    @cached_property
    def address(self) -> int:
        """Where the machine code begins."""
        return self.compiled.address
