"""Events and files that were left out because they cannot be read, and the text about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ON_ERROR = ("raise", "skip")
"""Choices of what to do with an event that cannot be read."""

WHOLE_FILE = -1
"""Entry of a file that cannot be read at all."""

SHOWN = 20
"""Lines shown of a list that is written in full elsewhere."""


@dataclass(frozen=True)
class Skipped:
    """An event or a file that was left out.

    Attributes:
        file: name of the file.
        entry: number of the event in the file; ``WHOLE_FILE`` for the file as a whole, whose events are not known.
        reason: why, in one line.
    """

    file: str
    entry: int
    reason: str

    @classmethod
    def because(cls, file: str | Path, entry: int, message: str) -> Skipped:
        """Make one from the message of an error, without the file and the event at its beginning."""
        beginnings = (f"{file}: event {entry}: ", f"{file}: ")
        begun = next((text for text in beginnings if message.startswith(text)), "")
        return cls(str(file), int(entry), message.removeprefix(begun))

    def __str__(self) -> str:
        event = "" if self.entry == WHOLE_FILE else f" event {self.entry}:"
        return f"{self.file}:{event} {self.reason}"


def count_text(skipped: Sequence[Skipped]) -> str:
    """Return how much was left out, such as ``2 events and 1 file skipped``; an empty text if nothing was."""
    files = sum(one.entry == WHOLE_FILE for one in skipped)
    events = len(skipped) - files
    parts = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((events, "event"), (files, "file")) if n]
    return f"{' and '.join(parts)} skipped" if parts else ""


def skipped_lines(skipped: Sequence[Skipped], shown: int | None = SHOWN) -> Iterator[str]:
    """Yield a line for each, and one for those beyond ``shown``."""
    for one in skipped[:shown]:
        yield f"skipped {one}"
    if shown is not None and len(skipped) > shown:
        yield f"... and {len(skipped) - shown} more"
