"""Contenders take turns, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from benchmarks.measurement import Measurement, Settings

_TURN = 0.5
_LONG = 2.0
_FEWEST_CALLS, _MOST_CALLS = 4, 20


@dataclass(frozen=True)
class Contender:
    """Something to time.

    Attributes:
        case: what is done.
        name: who does it.
        run: does it once.
        size: voxels.
        threads: threads that torch and the engine may use.
        flops: additions and multiplications of one run, where they are known.
    """

    case: str
    name: str
    run: Callable[[], object]
    size: int = 0
    threads: int = 1
    flops: float | None = None


def interleave(contenders: Sequence[Contender], settings: Settings, single: bool = False) -> list[Measurement]:
    """Time every contender in every round: calls for half a second, four at least, or one that takes two seconds.

    The first of several calls, which finds the caches and the memory full of others' numbers, is not counted. The first
    round is preceded by one that is not counted, in which code is compiled and memory is taken.

    Args:
        contenders: those that take turns.
        settings: how many rounds, and whether it is to be quick.
        single: a turn is one call, whatever it takes, so that the values of contenders belong together one by one.
    """
    times: list[list[float]] = [[] for _ in contenders]
    before = torch.get_num_threads()
    try:
        for number in range(-1, settings.rounds):
            for contender, spent in zip(contenders, times, strict=True):
                torch.set_num_threads(contender.threads)
                turn = _turn(contender.run, once=settings.quick or single or number < 0)
                if number >= 0:
                    spent += turn
    finally:
        torch.set_num_threads(before)
    return [
        Measurement(c.case, c.name, c.size, c.threads, tuple(spent), flops=c.flops)
        for c, spent in zip(contenders, times, strict=True)
    ]


def _turn(run: Callable[[], object], once: bool) -> list[float]:
    spent: list[float] = []
    while not spent or (not once and _goes_on(spent)):
        started = time.perf_counter()
        run()
        spent.append(time.perf_counter() - started)
    return spent[1:] or spent


def _goes_on(spent: list[float]) -> bool:
    """Tell whether a turn has another call: until its time is over, but some more of all but the longest."""
    if len(spent) < _FEWEST_CALLS:
        return spent[0] < _LONG
    return len(spent) < _MOST_CALLS and sum(spent) < _TURN
