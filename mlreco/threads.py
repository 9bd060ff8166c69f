"""Threads of the libraries that this package computes with."""

from __future__ import annotations

import os


def let_idle_threads_sleep() -> None:
    """Ask OpenMP not to keep threads spinning that wait for work; to be called before torch is imported.

    Torch's threads would otherwise hold their processors for milliseconds after every operation, while the compiled
    convolutions, the reader and the clusterer have work for them. A user's own ``OMP_WAIT_POLICY`` stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
