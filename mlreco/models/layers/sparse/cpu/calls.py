"""When the calls of shared kernels are made: each at once, or many in one go without the interpreter in between.

Threads that infer side by side each need the interpreter for what is between two kernels; the fewer the kernels after
which they must have it back, the less they wait for each other.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch

from mlreco.models.layers.sparse.cpu.crew import helpers_of, share, share_all
from mlreco.models.layers.sparse.cpu.jit import SharedKernel
from mlreco.models.layers.sparse.cpu.memory import Job, address, job

FEW_BYTES = 16 << 20
"""Results that may wait in inference: memory that is used again soon is still in the cache."""


class Calls(Protocol):
    """What makes calls in the order in which they come, and the memory for what they write."""

    def __call__(self, work: SharedKernel, numbers: Job, threads: int, *uses: Any) -> None:
        """Call a kernel with its job as ``share`` does; ``uses`` hold the memory that the job points to."""

    def empty(self, *shape: int) -> torch.Tensor:
        """Return float32 memory for the result of a call."""


class AtOnce:
    """Makes every call before it returns."""

    def __call__(self, work: SharedKernel, numbers: Job, threads: int, *uses: Any) -> None:
        """Call a kernel."""
        share(work, numbers, threads)

    def empty(self, *shape: int) -> torch.Tensor:
        """Return memory for a result."""
        return torch.empty(shape)


class InOneGo:
    """Collects calls until ``make`` is called, or the results of those that wait take much memory.

    Nothing else may read a result, or write what a call reads, before ``make`` has returned.

    Args:
        most: bytes of results that may wait.
    """

    def __init__(self, most: float = float("inf")) -> None:
        self._most = most
        self._bytes = 0
        self._calls = job()
        self._helpers = 0
        self._uses: list[Any] = []

    def __call__(self, work: SharedKernel, numbers: Job, threads: int, *uses: Any) -> None:
        """Take a call on."""
        helpers = helpers_of(threads)
        self._calls.extend((work.address, address(numbers), helpers))
        self._helpers = max(self._helpers, helpers)
        self._uses += numbers, uses
        if self._bytes >= self._most:
            self.make()

    def empty(self, *shape: int) -> torch.Tensor:
        """Return memory for a result."""
        memory = torch.empty(shape)
        self._bytes += memory.nbytes
        return memory

    def make(self) -> None:
        """Make the calls that wait, in their order."""
        share_all(self._calls, self._helpers)
        self._calls = job()
        self._uses.clear()
        self._bytes = 0


AT_ONCE = AtOnce()
