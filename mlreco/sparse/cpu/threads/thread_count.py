"""How many threads a call of the engine may use: all of torch's, or an equal part where several compute at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_own = threading.local()


class Division:
    """Division of torch's threads among those that compute at once.

    Args:
        threads: how many there are to divide.

    Attributes:
        parts: how many compute, at least 1; may change meanwhile.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.parts = 1

    @contextmanager
    def part(self) -> Iterator[None]:
        """Let what the engine computes in this thread inside the block use one part."""
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
