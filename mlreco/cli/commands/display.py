"""``mlreco display FILE``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.cli.events import chosen_events, event_slice
from mlreco.cli.options import not_negative, output_file, positive
from mlreco.console import say

if TYPE_CHECKING:
    from mlreco.visualization.event_browser import Events

NAME = "display"
HELP = "write a page that shows events, reconstructed or not: it needs no network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "file", metavar="FILE", help="output of 'mlreco inference', or any file of events ('sample' is shipped)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--event", type=not_negative, metavar="N", help="this event alone, from 0")
    which.add_argument(
        "-n",
        "--events",
        type=event_range,
        metavar="N|A:B|A-B",
        help="the first N events, A to B - 1 (A:B), or A to B (A-B); by default the first 20",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="page to write (event_N.html for one, else events.html)"
    )
    parser.add_argument(
        "--points",
        action="store_true",
        help="measure where particles begin and end where the output has no table of particles",
    )
    parser.add_argument(
        "--page-limit",
        type=positive,
        default=60,
        metavar="MB",
        help="events inside the page; others are put into a folder beside it (60)",
    )


def event_range(text: str) -> slice:
    """Parse ``A-B``, both of them included, or what `event_slice` does."""
    first, dash, last = text.partition("-")
    if dash and first.isdecimal() and last.isdecimal():
        return slice(int(first), int(last) + 1)
    return event_slice(text)


def run(arguments: argparse.Namespace) -> None:
    """Write the page and say where it is and how large."""
    from mlreco import shipped
    from mlreco.visualization import write_event_browser

    file = shipped.sample(arguments.file) or Path(arguments.file)
    alone = arguments.event is not None
    page = arguments.output or Path(f"event_{arguments.event}.html" if alone else "events.html")
    reader = _open(file)
    chosen = slice(arguments.event, arguments.event + 1) if alone else arguments.events or slice(0, 20)
    events = chosen_events(chosen, len(reader), file)
    limit = arguments.page_limit * 10**6
    written = write_event_browser(reader, events, output_file(page, file), limit, arguments.points)
    what = f"event {arguments.event}" if alone else f"{written.events} events"
    say(f"{what} of {file}: {written.path.resolve()}, {written.size / 1e6:.1f} MB")
    if written.folder is not None:
        size = f"{written.outside} of them, {written.folder_size / 1e6:.1f} MB"
        say(f"{size}, are in {written.folder}: keep it beside the page")


def _open(file: Path) -> Events:
    """Return the events of a file, reconstructed or not."""
    from mlreco.iotools import HDF5Reader
    from mlreco.iotools.output.events import OutputEventsReader

    if OutputEventsReader.recognizes(file):
        return HDF5Reader(file)
    from mlreco.reconstructor.event_file import open_events

    return open_events(file)
