"""The numbers of the iterations between two reports as one row."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping
from typing import Any

import torch

LAST = ("iter", "epoch", "tsum", "lr", "skipped", "skipped_steps", "loss_scale")
"""Columns with the values of the last iteration; the others are means over the interval."""


class Interval:
    """Means over the iterations since the last report.

    An iteration counts by the weights of its numbers: the accuracy of a class by the voxels of that class. NaN, such as
    the accuracy of a class that did not occur, is left out of the means.

    Args:
        state: what :meth:`state` returned when the training was saved.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._sums = {name: list(pair) for name, pair in (state or {}).items()}
        self._last: dict[str, float] = {}

    def add(self, row: Mapping[str, float], weights: Mapping[str, float] | None = None) -> None:
        """Add the numbers of an iteration.

        Args:
            row: the numbers, ``events`` (how many it trained on) among them.
            weights: weights of the numbers whose weight is not 1.
        """
        self._last = {name: row[name] for name in LAST if name in row}
        for name, value in row.items():
            if name not in LAST:
                sums = self._sums.setdefault(name, [0.0, 0])
                weight = (weights or {}).get(name, 1)
                if not math.isnan(value):
                    sums[0] += value * weight
                    sums[1] += weight

    def row(self) -> dict[str, float]:
        """Return the row of the log, and begin anew."""
        means = {name: total / weight if weight else math.nan for name, (total, weight) in self._sums.items()}
        seconds, events = means.pop("titer"), means.pop("events")
        times = {name: means.pop(name) for name in ("tio", "tforward", "tbackward")}
        row = {
            **{name: self._last[name] for name in ("iter", "epoch")},
            "titer": seconds,
            "tsum": self._last["tsum"],
            **times,
            "lr": self._last["lr"],
            "gradient_norm": means.pop("gradient_norm"),
            "events_per_s": events / seconds if seconds else math.nan,
            "waiting": times["tio"] / seconds if seconds else math.nan,
            "memory_gb": memory_gb(),
            **{name: value for name, value in self._last.items() if name.startswith(("skipped", "loss_scale"))},
            **means,
        }
        self._sums = {}
        return row

    def state(self) -> dict[str, list[float]]:
        """Return the sums so far, for a training that continues from here."""
        return {name: list(pair) for name, pair in self._sums.items()}


def memory_gb() -> float:
    """Return the most memory that this process has used, on CUDA that of the device, in GB."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
