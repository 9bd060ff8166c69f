"""Conversion of event files to LArCV3 and to training caches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlreco import __version__
from mlreco.errors import UserError, nearest
from mlreco.iotools.files import expand_sources
from mlreco.iotools.interface import Reader, read_product
from mlreco.iotools.larcv3.layout import KINDS
from mlreco.iotools.larcv3.writer import LArCV3Writer
from mlreco.iotools.readers import open_reader
from mlreco.progress import Progress

TARGETS = ("larcv3", "cache")
"""``larcv3``: compressed, readable by the larcv library; ``cache``: the same without compression, for training."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        output: the file written.
        events: number of events, the same in input and output.
        products: names of the products in the output.
        left_out: names of products of the input that are of no kind that is read.
    """

    output: Path
    events: int
    products: tuple[str, ...]
    left_out: tuple[str, ...]


def convert(
    sources: str | Path | Sequence[str | Path],
    output: str | Path,
    to: str = "larcv3",
    products: Sequence[str] = (),
) -> Conversion:
    """Write the events of files of any kind that is read into one LArCV3 file, event by event.

    The file appears when it is complete; an interrupted conversion leaves nothing behind and is started again.

    Args:
        sources: files, patterns, folders or ``.txt`` lists of them.
        output: file to make.
        to: one of ``TARGETS``.
        products: names of products to keep; all that all files have if empty.

    Raises:
        UserError: a file or event cannot be read, a product is missing, files hold different products, or the output is
            one of the sources.
    """
    if to not in TARGETS:
        raise UserError(f"cannot convert to '{to}'{nearest(to, TARGETS)}")
    output, files = Path(output), expand_sources(sources)
    for file in files:
        if output.exists() and file.exists() and output.samefile(file):
            raise UserError(f"{output}: is one of the files to convert; give another name")
    readers = []
    for file in files:
        readers.append(open_reader(file))
        readers[-1].close()
    chosen, left_out = _choose(readers, products)
    attributes = {
        "mlreco_version": __version__,
        "source_files": json.dumps([str(file) for file in files]),
        "source_format": ", ".join(dict.fromkeys(getattr(r, "format_name", type(r).__name__) for r in readers)),
    }
    with (
        LArCV3Writer(output, compress=to != "cache", attributes=attributes) as writer,
        Progress("convert", total=sum(len(reader) for reader in readers)) as progress,
    ):
        for reader in readers:
            for index in range(len(reader)):
                _copy(reader, index, chosen, writer)
                progress.advance()
            reader.close()
    return Conversion(output, writer.num_events, chosen, left_out)


def _choose(readers: Sequence[Reader], wanted: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the products to convert and those of kinds that are not read."""
    first = readers[0]
    found = tuple(dict.fromkeys(name for reader in readers for name in reader.products()))
    readable = tuple(name for name in found if name.partition("_")[0] in KINDS)
    for name in wanted:
        if name not in readable:
            raise UserError(f"{first.path}: no product '{name}' that can be converted{nearest(name, readable)}")
    chosen = tuple(wanted) or readable
    for reader in readers:
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


def _copy(reader: Reader, index: int, products: Sequence[str], writer: LArCV3Writer) -> None:
    contents = {name: read_product(reader, index, name) for name in products}
    try:
        writer.append(np.asarray(reader.event_id(index)), contents)
    except ValueError as error:
        raise UserError(f"{reader.path}: event {index}: cannot be written as LArCV3: {error}") from error
