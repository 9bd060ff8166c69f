"""What a benchmark is asked and what it answers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

OURS = "mlreco"
"""Name of the contender that all others are compared with."""


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
        rounds: how often every contender has its turn.
        threads: numbers of threads to measure with, rising.
        quick: shrink everything to seconds, to see that it runs; the numbers mean nothing.
    """

    rounds: int = 7
    threads: tuple[int, ...] = (1,)
    quick: bool = False


@dataclass(frozen=True)
class Measurement:
    """One thing, done by one contender, measured several times.

    Attributes:
        case: what was done; contenders of one case and size are compared.
        contender: who did it, ``OURS`` or a peer.
        size: voxels; 0 where that has no meaning.
        threads: threads it was allowed.
        values: every measured value, in the order of rounds.
        unit: ``s``, or ``MB`` (10^6 bytes), or ``FLOP/s``.
        flops: additions and multiplications of one run, where they are known.
        note: what else there is to say, for the last column of the table.
        compared: whether it did all of the case, so that a ratio to ours means something.
    """

    case: str
    contender: str
    size: int
    threads: int
    values: tuple[float, ...]
    unit: str = "s"
    flops: float | None = None
    note: str = ""
    compared: bool = True

    @property
    def least(self) -> float:
        """The smallest value: what the machine can do when nothing else disturbs it."""
        return min(self.values)

    @property
    def median(self) -> float:
        """The middle value: what is usual."""
        return statistics.median(self.values)


Subject = Callable[[Settings], Iterable[Measurement]]
"""A benchmark."""
