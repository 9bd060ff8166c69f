"""The way in which this package compiles functions with numba and keeps the machine code on disk."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar, overload

import numba
import numpy as np
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher

from mlreco.console import remark

_PACKAGE = __name__.partition(".")[0]

if hasattr(FunctionIdentity, "_unique_ids"):
    # numba numbers compiled functions from 1 in each process, and only this number distinguishes the names of two
    # functions of one source line and the same arguments (the quicksort of ``sort`` and that of ``argsort``).
    # If a process loads code that two others have kept, both may have one name, and the machine code loaded first would
    # run instead of the other: wrong numbers or a crash (numba issue 10486). Random numbers do not collide, not even
    # those of processes that were forked from one.
    _numbers: Any = iter(lambda: secrets.randbits(64), None)
    FunctionIdentity._unique_ids = _numbers


F = TypeVar("F", bound=Callable[..., Any])


@overload
def compiled(function: F) -> F: ...


@overload
def compiled(*, fastmath: bool | set[str] = ..., inline: str = ..., boundscheck: bool = ...) -> Callable[[F], F]: ...


def compiled(function: Callable | None = None, **options: Any) -> Any:
    """Compile a function at its first call, without the interpreter lock; a decorator, with or without options.

    Machine code is kept beside the source or in the user's cache folder (numba's ``NUMBA_CACHE_DIR``) and made again
    when the function, one that it calls, or a constant that it reads has changed. Where no folder can be written (a
    read-only container without a home), it is compiled at every start.

    Args:
        function: what is compiled.
        options: of ``numba.njit``.
    """
    if function is None:
        return lambda function: compiled(function, **options)
    options = {"nogil": True, **options}
    made = numba.njit(**options)(function)
    keep(made, function)
    return made


def compiled_callback(signature: Any) -> Callable[[Callable], Any]:
    """Compile a function that other machine code calls by its address; a decorator, kept as by ``compiled``."""

    def decorate(function: Callable) -> CFunc:
        made = CFunc(function, (signature.args, signature.return_type), {}, {})
        keep(made, function)
        made.compile()
        return made

    return decorate


class Kept(FunctionCache):
    """Machine code on disk, of which a fault costs time and nothing else.

    numba lets a run end where its folder is full or what lies there is damaged.
    """

    _is_lost = False
    """Whether code of this process could not be kept."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was kept; None where there is nothing, or it is damaged: it is made again."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling damaged bytes can raise anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep code; where that is not possible any more, say so once."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self.disable()
            if not Kept._is_lost:
                Kept._is_lost = True
                remark(f"compiled kernels cannot be kept in {self.cache_path}: {error.strerror or error}; {AGAIN}")


AGAIN = "later runs compile them again, unless NUMBA_CACHE_DIR names a folder with room that can be written"
"""What holds of kernels that cannot be kept."""
_without_place = 0
"""Functions for whose code there is no folder."""


def are_kept() -> bool:
    """Tell whether what this process compiles is there for later ones, as far as is known."""
    return not (_without_place or Kept._is_lost)


def keep(made: Any, function: Callable) -> None:
    """Have the machine code of a function kept, where there is a folder for it, until what it is made of changes.

    Args:
        made: what numba has made of the function.
        function: the function.
    """
    global _without_place
    try:
        made._cache = Kept(function)
    except RuntimeError:  # numba has found no writable folder
        _without_place += 1
        return
    watch(made, lambda: stamp_of(function))


def watch(made: Any, stamp: Callable[[], Hashable]) -> None:
    """Have code on disk made again when a stamp has changed.

    numba checks only the file of the function, but the code also depends on functions and constants in other files, and
    on the options of compilation. With a version of numba whose index has another form, numba's own rule applies.

    Args:
        made: what numba has made of a function.
        stamp: returns what must be unchanged since the code was compiled.
    """
    index: Any = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, file_stamp(__file__), stamp())


def stamp_of(function: Any) -> Hashable:
    """Return the files and constants that the code of a function is made from, its own file left out."""
    files, constants = set[str](), set[str]()
    _collect(function, files, constants, set())
    files.discard(function.__code__.co_filename)
    return tuple(sorted(map(file_stamp, files))), tuple(sorted(constants))


@cache
def file_stamp(file: str | Path) -> tuple[str, int, int]:
    """Return name, time of change and size of a file."""
    found = Path(file).stat()
    return str(file), found.st_mtime_ns, found.st_size


def _collect(function: FunctionType, files: set[str], constants: set[str], seen: set[FunctionType]) -> None:
    """Add the files and constants of a function and of the functions that it calls."""
    if function in seen:
        return
    seen.add(function)
    files.add(function.__code__.co_filename)
    for name, value in _used_by(function):
        if isinstance(value, Dispatcher):
            _collect(value.py_func, files, constants, seen)
        elif isinstance(value, np.ndarray):
            constants.add(f"{name} {value.dtype} {value.shape} {value.tobytes().hex()}")
        elif isinstance(value, (bool, int, float, str, tuple, np.generic, np.dtype)):
            constants.add(f"{name} {value!r}")


def _used_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the global names that a function uses, with their values."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name, cell.cell_contents
    names = list(_names(function.__code__))
    for name in names:
        value = function.__globals__.get(name)
        if not isinstance(value, ModuleType):
            yield name, value
        elif value.__name__.partition(".")[0] == _PACKAGE:
            for attribute in names:
                yield attribute, getattr(value, attribute, None)


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names in a function's code and in that of the functions and comprehensions inside."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@compiled
def _nothing() -> None:
    """Do nothing."""


@cache
def let_threads_call() -> None:
    """Make compiled functions safe to call from several threads; to be called before these start.

    At the first compilation of a process numba lets its extensions, which other packages may bring (awkward does), add
    types to a table. Another thread that looks up a type meanwhile may end in ``RuntimeError: dictionary changed size
    during iteration``.
    """
    _nothing()
