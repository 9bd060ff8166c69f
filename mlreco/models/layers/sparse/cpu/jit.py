"""The one way in which this package compiles numba kernels."""

from __future__ import annotations

from collections.abc import Callable

import numba


def kernel(function: Callable) -> Callable:
    """Compile a function with numba at its first call: without the interpreter lock, kept on disk where possible.

    A place without any writable cache folder (a read-only container) compiles at every start instead.
    """
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)(function)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy", boundscheck=False)(function)
