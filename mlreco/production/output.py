"""The provenance of an output of a production, and the check that it is complete."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mlreco.errors import UserError
from mlreco.inputs import file_digest
from mlreco.iotools import HDF5Reader
from mlreco.iotools.output.carried import PRODUCTION
from mlreco.production.inputs import Input
from mlreco.production.manifest import Done, SkippedEvent

T = TypeVar("T")

_AT_ONCE = 32
"""Events that are read at once."""


class Made(BaseModel):
    """The provenance of an output.

    Attributes:
        input: the file, an absolute path.
        input_bytes: its size.
        input_sha256: its checksum.
        fingerprint: of settings, weights and program.
        host: where it was made.
        versions: of the program and of the packages that compute.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    input: str
    input_bytes: int
    input_sha256: str
    fingerprint: str
    host: str
    versions: dict[str, str]


def made_from(reader: HDF5Reader) -> Made | None:
    """Return the provenance of an output; None where it has none."""
    try:
        return Made.model_validate_json(reader.info.get(PRODUCTION) or "")
    except ValidationError:
        return None


def describe(path: Path, place: int) -> Done:
    """Return the entry of an output in a manifest.

    Args:
        path: the output, of a production.
        place: number of its input.

    Raises:
        UserError: it cannot be read, or is of no production.
    """
    with HDF5Reader(path) as reader:
        made = made_from(reader)
        if made is None:
            raise UserError(f"{path}: is no output of a production")
        skipped = tuple(SkippedEvent(entry=one.entry, reason=one.reason) for one in reader.skipped)
        info, products, events = reader.info, reader.products, len(reader)
    try:
        return Done(
            place=place,
            input=made.input,
            input_bytes=made.input_bytes,
            input_sha256=made.input_sha256,
            output=path.name,
            output_bytes=path.stat().st_size,
            output_sha256=file_digest(path),
            events_in=info.get("events_in", events),
            events_out=events,
            skipped=skipped,
            products=products,
            warnings=tuple(json.loads(info.get("warnings") or "[]")),
            seconds=info.get("seconds", 0.0),
            date=info.get("date", ""),
            host=made.host,
            versions=made.versions,
        )
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise UserError(f"{path}: damaged output file: {error.errors()[0]['msg']}") from None


def finished(folder: Path, one: Input, fingerprint: str, checksums: dict[str, str]) -> Done | None:
    """Return the entry of an input that was reconstructed earlier; None where it has no output yet.

    The output is read as a whole, unless its checksum is that in a manifest of its folder.

    Args:
        folder: the output folder.
        one: the input.
        fingerprint: of the production.
        checksums: name of an output -> its checksum, from the manifests of the folder.

    Raises:
        UserError: something else stands in the place of the output.
    """
    path = folder / one.output
    if not path.exists():
        return None
    made = _sound(lambda: _made(path))
    if made is None:
        raise UserError(f"{path}: is no output of this production; write to another folder")
    if made.fingerprint != fingerprint:
        raise UserError(f"{path}: is an output of another production; write to another folder")
    if made.input_bytes != one.size or made.input_sha256 != file_digest(one.path):
        raise UserError(f"{path}: was made from another file than {one.path} is now; remove it, or write elsewhere")
    done = _sound(lambda: describe(path, one.place))
    if checksums.get(one.output) != done.output_sha256:
        _sound(lambda: read_whole(path))
    return done.model_copy(update={"input": str(one.path)})


def _made(path: Path) -> Made | None:
    with HDF5Reader(path) as reader:
        return made_from(reader)


def _sound(read: Callable[[], T]) -> T:
    """Return the provenance and content of an output in the folder.

    Raises:
        UserError: it cannot be read; says what to do.
    """
    try:
        return read()
    except UserError as error:
        raise UserError(f"{error}; remove it, or write to another folder") from None


def read_whole(path: Path) -> None:
    """Read everything in an output.

    Raises:
        UserError: something cannot be read.
    """
    with HDF5Reader(path) as reader:
        for first in range(0, len(reader), _AT_ONCE):
            reader.range(first, min(first + _AT_ONCE, len(reader)))
