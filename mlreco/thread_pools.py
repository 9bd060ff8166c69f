"""The threads that this package starts: pools and single ones, which may call compiled functions.

A thread that is made without these functions may come before numba is ready for several of them, and fail now and then
(`mlreco.compiled.let_threads_call`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mlreco.compiled import let_threads_call


def thread_pool(
    threads: int | None = None, name: str = "", initializer: Callable[[], object] | None = None
) -> ThreadPoolExecutor:
    """Return a pool of threads.

    Args:
        threads: how many run at the same time; as many as there are processors if None or 0.
        name: what their names begin with.
        initializer: called in each thread when it starts.

    Raises:
        ValueError: a negative number of threads.
    """
    let_threads_call()
    return ThreadPoolExecutor(threads or os.cpu_count(), name, initializer)


def background_thread(work: Callable[[], object], name: str) -> threading.Thread:
    """Return a thread for a function, not started yet; the process may end before it.

    Args:
        work: what runs in it.
        name: of the thread.
    """
    let_threads_call()
    return threading.Thread(target=work, name=name, daemon=True)
