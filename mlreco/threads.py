"""Threads of the libraries that this package computes with."""

from __future__ import annotations

import os

_SPINS = "5000"
"""Iterations of libgomp's waiting loop: about 50 microseconds, as long as it takes to wake a thread.

In training, torch's operations often follow each other sooner than that: steps were 3 to 19 % faster than with no
waiting loop. With the default of 3 milliseconds they were 10 % slower than with this value.
"""


def let_idle_threads_sleep() -> None:
    """Let OpenMP's idle threads sleep after about 50 microseconds; to be called before torch is imported.

    By default they spin for milliseconds after every operation of torch and so take the cores from the compiled
    convolutions, the reader and the clusterer. A user's own ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` is kept.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
