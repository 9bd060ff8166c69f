"""The ways in which this package compiles numba kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from numba import types
from numba.core.ccallback import CFunc

from mlreco.compiled import compiled, file_stamp, keep, watch

_OPTIONS = {"error_model": "numpy", "boundscheck": False}
_SIGNATURE = types.void(types.int64, types.int64)
F = TypeVar("F", bound=Callable[..., Any])

_generators: set[Path] = set()


def kernels_depend_on(folder: Path) -> None:
    """Have kernels compiled again when a file in a folder of code generators has changed.

    The modules of that folder whose functions are used in kernels call this, so it is called before such a kernel is
    made.
    """
    _generators.update(folder.glob("*.py"))


def _stamps() -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change and size of the files that generate code."""
    return tuple(map(file_stamp, sorted(_generators)))


def kernel(function: F) -> F:
    """Compile a function as ``mlreco.compiled`` does, and again also when a file that generates LLVM code changed."""
    made = compiled(function, **_OPTIONS)
    watch(made, _stamps)
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
        """The machine code, compiled or loaded from disk at the first use.

        A lock makes threads that use it first at the same time share one copy. Its address is stored in jobs; of two
        copies one would be freed while jobs still have its address.
        """
        if self._compiled is None:
            with self._compiling:
                if self._compiled is None:
                    self._compiled = self._compile()
        return self._compiled

    def _compile(self) -> CFunc:
        code = CFunc(self._function, (_SIGNATURE.args, _SIGNATURE.return_type), {}, dict(_OPTIONS))
        keep(code, self._function)
        watch(code, _stamps)
        code.compile()
        return code

    @cached_property
    def address(self) -> int:
        """Address of the machine code."""
        address = self.compiled.address
        if address is None:
            raise RuntimeError("numba has compiled a kernel without an address")
        return address
