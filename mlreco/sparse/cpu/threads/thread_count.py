"""Number of threads that a call of the engine may use: all of torch's, or an equal part of them in a ``Division``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_own = threading.local()


class Division:
    """Division of the engine's threads among Python threads that compute at the same time.

    Args:
        threads: threads to be divided.

    Attributes:
        parts: how many Python threads compute, at least 1; may change at any time.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.parts = 1

    @contextmanager
    def part(self) -> Iterator[None]:
        """Limit what the engine computes in this Python thread inside the block to one part."""
        before = getattr(_own, "division", None)
        _own.division = self
        try:
            yield
        finally:
            _own.division = before


def thread_count() -> int:
    """Return how many threads a call of this thread may use, at least 1."""
    division = getattr(_own, "division", None)
    return torch.get_num_threads() if division is None else max(1, division.threads // division.parts)
