"""The manifest of a production: the result of every file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from mlreco.atomic import write_text
from mlreco.errors import UserError
from mlreco.inputs import read_text

VERSION = 1
"""Version of the form of a manifest."""
_LONGEST = 1 << 30
"""Bytes of a manifest that are read."""
_SHOWN = 5

Checksum = str
"""A SHA-256 as 64 hexadecimal digits."""
_SHA256 = Field(pattern="^[0-9a-f]{64}$")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SkippedEvent(_Part):
    """An event of an input that could not be read and is not in the output.

    Attributes:
        entry: its number in the input.
        reason: why.
    """

    entry: int = Field(ge=0)
    reason: str


class Done(_Part):
    """A file that was reconstructed.

    Attributes:
        place: number of the file in the list of all, from 0.
        input: the file, an absolute path.
        input_bytes: its size.
        input_sha256: its checksum.
        output: name of the output in the folder of the production.
        output_bytes: its size.
        output_sha256: its checksum.
        events_in: events of the input.
        events_out: events of the output.
        skipped: the others.
        products: products of the output; those of labels are missing where the input has none.
        warnings: warnings about its events.
        seconds: how long it took.
        date: when its output was begun.
        host: where.
        versions: of the program and of the packages that compute.
    """

    place: int = Field(ge=0)
    input: str
    input_bytes: int = Field(ge=0)
    input_sha256: Checksum = _SHA256
    output: str
    output_bytes: int = Field(ge=0)
    output_sha256: Checksum = _SHA256
    events_in: int = Field(ge=0)
    events_out: int = Field(ge=0)
    skipped: tuple[SkippedEvent, ...] = ()
    products: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = Field(ge=0)
    date: str
    host: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _every_event_once(self) -> Done:
        if self.events_in != self.events_out + len(self.skipped):
            raise PydanticCustomError(
                "events",
                "{file}: {events_in} events in, but {events_out} out and {skipped} skipped",
                {
                    "file": self.input,
                    "events_in": self.events_in,
                    "events_out": self.events_out,
                    "skipped": len(self.skipped),
                },
            )
        return self


class Failed(_Part):
    """A file without an output.

    Attributes:
        place: number of the file in the list of all, from 0.
        input: the file, an absolute path.
        input_bytes: its size.
        reason: why, in one line.
        kind: ``damaged``: the same content will fail again; ``transient``: another attempt may succeed; ``bug``: a
            fault of the program.
        attempts: how often it was tried.
    """

    place: int = Field(ge=0)
    input: str
    input_bytes: int = Field(ge=0)
    reason: str
    kind: Literal["damaged", "transient", "bug"]
    attempts: int = Field(ge=1)


class Plan(_Part):
    """All files of the production, of which a shard has a part.

    Attributes:
        files: how many they are.
        digest: SHA-256 of their names and sizes, in order; the same in all shards of one production.
    """

    files: int = Field(ge=1)
    digest: Checksum = _SHA256


class Manifest(_Part):
    """The results of the files of a production, or of one of its shards, in the order of the inputs.

    Attributes:
        version: of this form.
        finished: whether every file was tried; a production that was killed leaves a manifest without it.
        fingerprint: SHA-256 of settings, weights and program; ``production.json`` says what they are.
        plan: all files of the production.
        shard: number of the shard and how many there are, counted from 1; nothing for a whole production.
        done: files with an output.
        failed: files without.
        waiting: files not yet tried.
    """

    version: Literal[1] = 1
    finished: bool
    fingerprint: Checksum = _SHA256
    plan: Plan
    shard: tuple[int, int] | None = None
    done: tuple[Done, ...] = ()
    failed: tuple[Failed, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def events_in(self) -> int:
        """Events of the inputs that have an output."""
        return sum(one.events_in for one in self.done)

    @property
    def events_out(self) -> int:
        """Events of the outputs."""
        return sum(one.events_out for one in self.done)

    @property
    def events_skipped(self) -> int:
        """Events that could not be read."""
        return sum(len(one.skipped) for one in self.done)

    def repeated(self) -> list[tuple[Done, Done]]:
        """Return pairs of files of the same content under different names."""
        first: dict[str, Done] = {}
        pairs = ((first.setdefault(one.input_sha256, one), one) for one in self.done)
        return [(before, one) for before, one in pairs if before is not one]

    def summary(self) -> str:
        """Return the counts in words."""
        files = f"{len(self.done)} of {len(self.done) + len(self.failed) + len(self.waiting)} files"
        skipped = f", {self.events_skipped} events skipped" if self.events_skipped else ""
        return f"{files} done, {self.events_out} of {self.events_in} events{skipped}"

    def problems(self) -> list[str]:
        """Return the reasons why the outputs do not hold all files, each event once; empty where they do."""
        found = [
            f"{one.input} has the content of {before.input}: its events are reconstructed twice"
            for before, one in self.repeated()[:_SHOWN]
        ]
        if self.failed:
            found.insert(0, self._failures())
        if self.waiting:
            first = ", ".join(self.waiting[:_SHOWN])
            more = ", ..." if len(self.waiting) > _SHOWN else ""
            found.append(f"{len(self.waiting)} files were not tried: {first}{more}")
        return found

    def _failures(self) -> str:
        """Return the files without output, and what to do about them."""
        again = [one for one in self.failed if one.kind == "transient"]
        named = "; ".join(f"{one.input}: {one.reason}" for one in self.failed[:_SHOWN])
        more = f"; and {len(self.failed) - _SHOWN} more, see the manifest" if len(self.failed) > _SHOWN else ""
        hint = "; the same command tries again" if again else ""
        count = len(self.failed)
        return f"{count} file{'' if count == 1 else 's'} could not be reconstructed: {named}{more}{hint}"


def manifest_name(shard: tuple[int, int] | None) -> str:
    """Return the name of a manifest in the folder of a production."""
    if shard is None:
        return "manifest.json"
    return f"manifest-{shard[0]:0{len(str(shard[1]))}d}-of-{shard[1]}.json"


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest as a whole: JSON, and beside it a CSV file with a line for each file.

    Raises:
        WriteError: the disk is full, or the folder may not be written.
    """
    write_text(path, manifest.model_dump_json(indent=1) + "\n", over_inputs=True)
    write_text(path.with_suffix(".csv"), _csv(manifest), over_inputs=True)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        UserError: it is missing, or no manifest; names the key.
    """
    try:
        return Manifest.model_validate_json(read_text(path, _LONGEST))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: not a manifest of a production: {f'{key}: ' if key else ''}{first['msg']}") from None


def _csv(manifest: Manifest) -> str:
    text = io.StringIO()
    rows = csv.DictWriter(text, _COLUMNS, restval="")
    rows.writeheader()
    rows.writerows(_rows(manifest))
    return text.getvalue()


_COLUMNS = (
    "status",
    "place",
    "input",
    "input_bytes",
    "input_sha256",
    "output",
    "output_bytes",
    "output_sha256",
    "events_in",
    "events_out",
    "events_skipped",
    "seconds",
    "date",
    "host",
    "reason",
)


def _rows(manifest: Manifest) -> Iterator[dict[str, str | int | float]]:
    for one in manifest.done:
        values = one.model_dump(include=set(_COLUMNS))
        yield {**values, "status": "done", "events_skipped": len(one.skipped)}
    for failed in manifest.failed:
        values = failed.model_dump(include=set(_COLUMNS))
        yield {**values, "status": failed.kind}
    for path in manifest.waiting:
        yield {"status": "waiting", "input": path}
