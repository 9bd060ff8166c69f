"""The events that a training leaves out since they cannot be read, of all its processes and from its beginning."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mlreco.console import remark
from mlreco.iotools.skipped import SHOWN, Skipped
from mlreco.training.team import Team


class LeftOut:
    """Collects files and events that were left out, each once, and reports the first of them.

    Args:
        team: the processes; the first one reports.
        before: :meth:`state` of the training that is continued.
    """

    def __init__(self, team: Team, before: Sequence[tuple[str, int, str]] = ()) -> None:
        self._team = team
        self._found = {(file, entry): Skipped(file, entry, reason) for file, entry, reason in before}
        self._told = len(self._found)
        self._own = 0
        self._state = list(before)

    def __len__(self) -> int:
        return len(self._found)

    def collect(self, own: Sequence[Skipped], events: int) -> int:
        """Take in what this process has left out so far, and return how many events all of them train on now.

        All processes call it together.

        Args:
            own: files and events, in the order in which they were met.
            events: that this process trains on.
        """
        counts = torch.tensor([events, len(own) - self._own])
        total, fresh = self._team.sum(counts).tolist()
        if fresh:
            for found in self._team.gathered(list(own[self._own :])):
                self._found |= {(one.file, one.entry): one for one in found}
            self._own = len(own)
            self._state = [(one.file, one.entry, one.reason) for one in self._found.values()]
            self._report()
        return total

    def state(self) -> list[tuple[str, int, str]]:
        """Return what was left out, for a training that continues from here."""
        return self._state

    def _report(self) -> None:
        """Report what is new; beyond a few only that there is more."""
        if self._team.is_first:
            for one in list(self._found.values())[self._told : SHOWN]:
                remark(f"skipped {one}")
            if len(self) > SHOWN >= self._told:
                remark("... further ones are only counted, in the column 'skipped' of the log")
        self._told = len(self)
