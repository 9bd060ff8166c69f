"""Events into files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlreco.errors import UserError
from mlreco.reconstructor.event import Event

_FORMS = (".h5", ".hdf5", ".html")


def save_events(path: str | Path, events: Event | Iterable[Event]) -> None:
    """Write events into an output file (``.h5``), as ``mlreco inference`` does, or one event into a page (``.html``).

    Args:
        path: file to write; it appears only when complete.
        events: events of one chain or one file, or a single one.

    Raises:
        UserError: no events, another ending, events with different products, or the file cannot be written.
    """
    if not isinstance(path, (str, Path)):
        raise UserError(f"a file is named by a text or a path, not {type(path).__name__}: mlreco.save(path, events)")
    path, events = Path(path), [events] if isinstance(events, Event) else list(events)
    if path.suffix.lower() not in _FORMS:
        raise UserError(f"{path}: events are saved as .h5 (an output file) or .html (a page), not '{path.suffix}'")
    if not events:
        raise UserError(f"{path}: no events to save")
    for number, event in enumerate(events):
        if not isinstance(event, Event):
            raise UserError(f"{path}: item {number} is no event but {type(event).__name__}")
        if event.keys() != events[0].keys():
            differing = sorted(event.keys() ^ events[0].keys())
            raise UserError(f"{path}: event {number} and the first one differ in products: {', '.join(differing)}")
    if path.suffix.lower() == ".html":
        _save_page(path, events)
        return
    from mlreco.iotools import HDF5Writer
    from mlreco.iotools.output.carried import of_the_events

    first = events[0].info
    with HDF5Writer(path, of_the_events(first), first.get("columns")) as writer:
        for event in events:
            writer.append(event)


def _save_page(path: Path, events: list[Event]) -> None:
    from mlreco.atomic import write_text
    from mlreco.visualization.event_browser import page_of_products

    if len(events) > 1:
        raise UserError(f"{path}: a page shows one event; save several as .h5 and say 'mlreco display'")
    write_text(path, page_of_products(dict(events[0]), events[0].info, events[0].event_id[2]))
