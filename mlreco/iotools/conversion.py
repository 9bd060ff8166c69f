"""Conversion of event files to LArCV3 and to training caches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.atomic import refuse_to_replace
from mlreco.errors import UserError, nearest
from mlreco.inputs import storable
from mlreco.interrupt import Interruption
from mlreco.iotools.eventfiles import EventFiles, check_schemes
from mlreco.iotools.files import expand_sources
from mlreco.iotools.interface import Reader, holds_classes, read_product
from mlreco.iotools.larcv3.layout import KINDS, SCHEME_ATTRIBUTE
from mlreco.iotools.larcv3.writer import LIBRARY_VERSIONS, LArCV3Writer
from mlreco.iotools.partial import partial_hdf5
from mlreco.progress import Progress
from mlreco.version import __version__

TARGETS = ("larcv3", "cache")
"""``larcv3``: compressed, readable by the larcv library; ``cache``: the same without compression, for training."""

_ATTRIBUTE_BYTES = 32_000
"""Names of the sources that go into an attribute, which can hold 64 kB in files that old libraries read."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        output: the file written.
        events: number of events, the same in input and output.
        products: names of the products in the output.
        left_out: names of products of the input that are not converted, since their kind is not supported.
        continued: number of events that an interrupted conversion had written before.
    """

    output: Path
    events: int
    products: tuple[str, ...]
    left_out: tuple[str, ...]
    continued: int = 0


def convert(
    sources: str | Path | Sequence[str | Path],
    output: str | Path,
    to: str = "larcv3",
    products: Sequence[str] = (),
    restart: bool = False,
) -> Conversion:
    """Write the events of files of any kind that is read into one LArCV3 file, event by event.

    The file appears when it is complete. Until then it is in the folder ``OUTPUT.part``: a conversion that was
    interrupted, also by the end of its process or a full disk, continues there when it is called again with the same
    sources and options.

    Args:
        sources: files, patterns, folders or ``.txt`` lists of them.
        output: file to make.
        to: one of ``TARGETS``.
        products: names of products to keep; all that all files have if empty.
        restart: discard an interrupted conversion and begin anew.

    Raises:
        UserError: a file or event cannot be read, a product is missing, files hold different products, voxels of
            different size or different class schemes, the output is one of the sources, or there is the beginning of
            another conversion.
        KeyboardInterrupt: after the events so far were written to the disk.
    """
    if to not in TARGETS:
        raise UserError(f"cannot convert to '{to}'{nearest(to, TARGETS)}")
    output, paths = Path(output), expand_sources(sources)
    refuse_to_replace(output, paths)
    files = EventFiles(paths)
    readers = list(files.readers())
    chosen, left_out = _choose(readers, products)
    attributes = _attributes(files, readers, chosen)
    signature = {**attributes, "to": to, "products": list(chosen), "sources": [_identity(path) for path in paths]}
    partial = partial_hdf5(output, LIBRARY_VERSIONS, signature, restart)
    with (
        LArCV3Writer(output, to != "cache", attributes, partial) as writer,
        Progress("convert", total=len(files), initial=writer.num_events) as progress,
        Interruption() as interruption,
    ):
        continued = writer.num_events
        for number in range(continued, len(files)):
            _copy(files, number, chosen, writer)
            progress.advance()
            if interruption.requested and number + 1 < len(files):
                writer.flush(keep=True)
                raise KeyboardInterrupt(
                    f"{writer.num_events} of {len(files)} events are written; the same command continues"
                )
        files.close()
    return Conversion(output, writer.num_events, chosen, left_out, continued)


def _attributes(files: EventFiles, readers: Sequence[Reader], products: Sequence[str]) -> dict[str, str]:
    """Return the attributes of the output; refuse files that do not belong together."""
    images = [name for name in products if name.startswith(("sparse3d_", "cluster3d_"))]
    if images:
        files.geometries(images[0])
    schemes = [told for name in filter(holds_classes, products) if (told := check_schemes(readers, name))]
    formats = dict.fromkeys(getattr(reader, "format_name", type(reader).__name__) for reader in readers)
    return {
        "mlreco_version": __version__,
        "source_files": _names(files.files),
        "source_format": ", ".join(formats),
        **({SCHEME_ATTRIBUTE: schemes[0][1]} if schemes else {}),
    }


def _names(files: Sequence[Path]) -> str:
    """Return the names of files as JSON, the last ones left out where an attribute cannot hold them all."""
    names = [storable(str(file)) for file in files]
    sizes = [len(json.dumps(name)) + 2 for name in names]
    kept = int(np.searchsorted(np.cumsum(sizes), _ATTRIBUTE_BYTES, side="right"))
    return json.dumps(names[:kept] + ([f"... and {len(names) - kept} more"] if kept < len(names) else []))


def _identity(path: Path) -> list[Any]:
    """Return path, size and time of change of a file, by which another file is recognised."""
    found = path.stat()
    return [storable(str(path.resolve())), found.st_size, found.st_mtime_ns]


def _choose(readers: Sequence[Reader], wanted: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the products to convert and those of kinds that are not read."""
    first = readers[0]
    found = tuple(dict.fromkeys(name for reader in readers for name in reader.products()))
    readable = tuple(name for name in found if name.partition("_")[0] in KINDS)
    for name in wanted:
        if name not in readable and not any(name in getattr(reader, "unusable", {}) for reader in readers):
            raise UserError(f"{first.path}: no product '{name}' that can be converted{nearest(name, readable)}")
    chosen = tuple(wanted) or readable
    for reader in readers:
        unusable = getattr(reader, "unusable", {})
        lost = [name for name in unusable if name in wanted or not wanted]
        if lost:
            advice = "" if wanted else "; name what to keep with --products"
            raise UserError(f"{reader.path}: '{lost[0]}' {unusable[lost[0]]}{advice}")
        missing = [name for name in chosen if name not in reader.products()]
        if missing:
            raise UserError(
                f"{reader.path}: no product '{missing[0]}', which another file has; name what to keep with --products"
            )
    if not chosen:
        raise UserError(
            f"{first.path}: no products that can be converted; the file holds {', '.join(found) or 'nothing'}"
        )
    return chosen, tuple(name for name in found if name not in readable)


def _copy(files: EventFiles, number: int, products: Sequence[str], writer: LArCV3Writer) -> None:
    """Write event ``number`` of all."""
    file, index = files.locate(number)
    reader = files.reader(file)
    contents = {name: read_product(reader, index, name) for name in products}
    try:
        writer.append(np.asarray(reader.event_id(index)), contents)
    except ValueError as error:
        raise UserError(f"{reader.path}: event {index}: cannot be written as LArCV3: {error}") from error
