"""The results of a production so far, written to the manifest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mlreco.production.inputs import Input
from mlreco.production.manifest import Done, Failed, Manifest, Plan, manifest_name, write_manifest

_INTERVAL = 20.0
"""Seconds between two versions of the manifest of a running production; more where it takes long to write."""
_SHARE = 0.02
"""Part of the time that may be spent on writing it."""


class Book:
    """Records the result of each file and writes the manifest from time to time.

    Args:
        folder: the output folder.
        inputs: the files of this production, or of this shard of it.
        fingerprint: of the production.
        plan: all files.
        shard: number of the shard and how many there are.
    """

    def __init__(
        self, folder: Path, inputs: Sequence[Input], fingerprint: str, plan: Plan, shard: tuple[int, int] | None
    ) -> None:
        self.path = folder / manifest_name(shard)
        self._inputs = list(inputs)
        self._fingerprint, self._plan, self._shard = fingerprint, plan, shard
        self._found: dict[Input, Done | Failed] = {}
        self._next = time.monotonic() + _INTERVAL

    def enter(self, one: Input, outcome: Done | Failed) -> None:
        """Record the result of a file; a later attempt replaces an earlier one, and is counted.

        Raises:
            WriteError: the manifest cannot be written.
        """
        before = self._found.get(one)
        if isinstance(outcome, Failed) and isinstance(before, Failed):
            outcome = outcome.model_copy(update={"attempts": before.attempts + 1})
        self._found[one] = outcome
        if time.monotonic() > self._next:
            self.write()

    def outcome(self, one: Input) -> Done | Failed | None:
        """Return the result of a file; None where it was not tried."""
        return self._found.get(one)

    def todo(self) -> list[Input]:
        """Return the files that were not tried."""
        return [one for one in self._inputs if one not in self._found]

    def worth_another_attempt(self) -> list[Input]:
        """Return the files with failures that may be temporary."""
        found = ((one, self._found.get(one)) for one in self._inputs)
        return [one for one, outcome in found if isinstance(outcome, Failed) and outcome.kind == "transient"]

    def manifest(self) -> Manifest:
        """Return the current manifest."""
        outcomes = [self._found.get(one) for one in self._inputs]
        return Manifest(
            finished=None not in outcomes,
            fingerprint=self._fingerprint,
            plan=self._plan,
            shard=self._shard,
            done=tuple(one for one in outcomes if isinstance(one, Done)),
            failed=tuple(one for one in outcomes if isinstance(one, Failed)),
            waiting=tuple(str(one.path) for one in self.todo()),
        )

    def write(self) -> None:
        """Write the manifest.

        Raises:
            WriteError: it cannot be written.
        """
        began = time.monotonic()
        write_manifest(self.path, self.manifest())
        ended = time.monotonic()
        self._next = ended + max(_INTERVAL, (ended - began) / _SHARE)
