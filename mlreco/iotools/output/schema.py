"""The attributes of ``/info`` of an output file, and where its events begin, checked where a file is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import h5py
import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from mlreco.semantics import SCHEMES

_SOURCES = TypeAdapter(list[str])
_THRESHOLDS = TypeAdapter(dict[str, dict[str, float]])


def _json(adapter: TypeAdapter, what: str) -> BeforeValidator:
    """Return a check that a text is JSON of some form; an empty text is nothing."""

    def check(text: Any) -> Any:
        if text:
            try:
                adapter.validate_json(text)
            except ValidationError:
                raise PydanticCustomError("json", f"expected {what} as JSON") from None
        return text

    return BeforeValidator(check)


class Info(BaseModel):
    """Attributes of ``/info`` that are used; others, of any type, are kept.

    Attributes:
        complete: whether the writing of the file ended.
        class_scheme: name of the numbering of the classes.
        classes: their names.
        cfg: the configuration as YAML text.
        thresholds: class name -> name -> number, as JSON text.
        source_files: names of the input files, also as JSON text.
        events_in: events of the input.
        events_skipped: of which so many are not in the file.
        files_skipped: input files that could not be read.
    """

    model_config = ConfigDict(extra="allow", strict=True)

    complete: bool = False
    class_scheme: str | None = None
    classes: Annotated[list[str], Field(min_length=1, max_length=127)] | None = None
    cfg: str | None = None
    thresholds: Annotated[str, _json(_THRESHOLDS, "numbers by class")] | None = None
    source_files: list[str] | Annotated[str, _json(_SOURCES, "a list of names")] | None = None
    date: str | None = None
    mlreco_version: str | None = None
    torch_version: str | None = None
    post_processors: str | None = None
    reclustered_from: str | None = None
    events_in: Annotated[int, Field(ge=0)] | None = None
    events_skipped: Annotated[int, Field(ge=0)] | None = None
    files_skipped: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_numbering(self) -> Info:
        if self.class_scheme is None:
            return self
        if self.class_scheme not in SCHEMES:
            raise PydanticCustomError("scheme", f"class_scheme '{self.class_scheme}' is not known")
        if self.classes is not None and tuple(self.classes) != SCHEMES[self.class_scheme].classes:
            raise PydanticCustomError("classes", f"classes are not those of class_scheme '{self.class_scheme}'")
        return self


def class_count(info: Mapping[str, Any]) -> int | None:
    """Return how many classes a file has, from checked attributes; None where it does not tell."""
    scheme = SCHEMES.get(str(info.get("class_scheme")))
    return len(scheme.classes) if scheme else len(info.get("classes") or ()) or None


def check_info(info: Mapping[str, Any]) -> None:
    """Check the attributes of ``/info``.

    Raises:
        ValueError: one has another type or form; names it.
    """
    try:
        Info.model_validate(dict(info))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "attributes"
        raise ValueError(f"/info {key}: {first['msg']}") from None


def source_files(info: Mapping[str, Any]) -> list[str]:
    """Return the names of the input files, from checked attributes; nothing where the file does not tell."""
    listed = info.get("source_files") or []
    return _SOURCES.validate_json(listed) if isinstance(listed, str) else list(listed)


def check_offsets(offsets: h5py.Dataset, rows: int | None, complete: bool) -> None:
    """Check where the events of a product begin.

    Args:
        offsets: the table, (n + 1,).
        rows: number of rows of the product; None where they stand in other files.
        complete: whether every row belongs to an event.

    Raises:
        ValueError: no whole numbers, or they do not rise from 0 to the number of rows.
    """
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or not len(offsets):
        raise ValueError(f"has offsets that are {offsets.dtype} {offsets.shape} and no list of whole numbers")
    places = offsets[()].astype(np.int64)
    rows = int(places[-1]) if rows is None else rows
    if places[0] or (np.diff(places) < 0).any() or places[-1] > rows or (complete and places[-1] != rows):
        raise ValueError(f"has offsets that do not rise from 0 to its {rows} rows")


def check_lengths(lengths: Mapping[str, int], events: int | None) -> None:
    """Check that all products have all events.

    Args:
        lengths: product -> number of events.
        events: length of the table of events, where the file has one.

    Raises:
        ValueError: one has more or fewer than another.
    """
    wanted = next(iter(lengths.values()), 0) if events is None else events
    for name, length in lengths.items():
        if length != wanted:
            raise ValueError(f"product '{name}' has {length} events where there are {wanted}")


def check_products(products: Iterable[str], info: Mapping[str, Any]) -> None:
    """Check that a file holds all products that were written; older files have no list of them.

    Args:
        products: their names.
        info: attributes of ``/info``.

    Raises:
        ValueError: one is missing.
    """
    missing = sorted({str(name) for name in info.get("products") or ()} - set(products))
    if missing:
        raise ValueError(f"product '{missing[0]}' is missing or no longer called an array")
