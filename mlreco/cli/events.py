"""Option for a part of the events of a file."""

from __future__ import annotations

import argparse
import re

from mlreco.errors import UserError


def event_slice(text: str) -> slice:
    """Parse ``N`` (the first N events) or ``A:B`` (events A to B - 1, counted from 0; either may be left out)."""
    found = re.fullmatch(r"(\d*):(\d*)|(\d+)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected a number such as 100 or a range such as 100:200, not '{text}'")
    first, end, number = found.groups()
    return slice(int(first or 0), int(end or number) if end or number else None)


def chosen_events(chosen: slice | None, n_events: int, path: object) -> range:
    """Return the numbers of the events of a file, those beyond its end left out.

    Args:
        chosen: what `event_slice` returned; all if None.
        n_events: events in the file.
        path: the file, for the message.

    Raises:
        UserError: there is no such event.
    """
    numbers = range(n_events)[chosen or slice(None)]
    if not numbers:
        asked = "events"
        if chosen is not None:
            last = "the last" if chosen.stop is None else chosen.stop - 1
            asked = f"event {last}" if last == chosen.start else f"events {chosen.start} to {last}"
        raise UserError(f"{path}: no {asked}; the file has {n_events}, counted from 0")
    return numbers
