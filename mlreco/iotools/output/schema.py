"""The schema of an output file: attributes of ``/info`` and products, checked when a file is opened."""

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


VOXELS, EVENT = "a row for each voxel", "a row for each event"

PRODUCTS: dict[str, tuple[str, str, tuple[int | None, ...]]] = {
    "coordinates": (VOXELS, "iu", (3,)),
    "energies": (VOXELS, "f", ()),
    "semantics": (VOXELS, "iu", ()),
    "semantics_predicted": (VOXELS, "iu", ()),
    "semantics_true": (VOXELS, "iu", ()),
    "semantic_scores": (VOXELS, "f", (None,)),
    "fragments": (VOXELS, "iu", ()),
    "instances": (VOXELS, "iu", ()),
    "instances_true": (VOXELS, "iu", ()),
    "embeddings": (VOXELS, "f", (3,)),
    "margins": (VOXELS, "f", ()),
    "seediness": (VOXELS, "f", ()),
    "event_id": (EVENT, "iu", (3,)),
    "source": (EVENT, "iu", (2,)),
    "image_shape": (EVENT, "iu", (3,)),
    "image_origin": (EVENT, "f", (3,)),
    "voxel_size": (EVENT, "f", (3,)),
    "times": (EVENT, "f", (None,)),
}
"""Product -> what has a row in it, kinds of its numbers, shape of a row (None: any length). Products of plugins are not
listed; they may have any numbers."""

_CLASSES = ("semantics", "semantics_predicted", "semantics_true")
_NUMBERED = ("fragments", "instances", "instances_true")
_LARGEST_CLASS = 127
_LEAST = {"energies": 0.0, "margins": 0.0, "voxel_size": float(np.finfo(np.float32).tiny)}


def check_product(name: str, dtype: np.dtype, row_shape: tuple[int, ...], columns: tuple[str, ...] | None) -> None:
    """Check the type of a product.

    Args:
        name: the product.
        dtype: type of its numbers.
        row_shape: shape of a row.
        columns: names of its columns, where the file has them.

    Raises:
        ValueError: it does not fit its name.
    """
    if dtype.names is not None:
        _check_record(name, dtype, row_shape)
        return
    if dtype.kind not in "biuf":
        raise ValueError(f"holds {dtype} and no numbers")
    if columns is not None and (len(row_shape) != 1 or len(columns) != row_shape[0]):
        raise ValueError(f"has {len(columns)} names of columns for rows {row_shape}")
    if name not in PRODUCTS:
        return
    _, kinds, shape = PRODUCTS[name]
    fits = len(shape) == len(row_shape) and all(a in (None, b) for a, b in zip(shape, row_shape, strict=True))
    if dtype.kind not in kinds or not fits:
        wanted = "whole numbers" if kinds == "iu" else "floats"
        raise ValueError(f"holds {dtype} with rows {row_shape}; rows {shape} of {wanted} are needed")


def _check_record(name: str, dtype: np.dtype, row_shape: tuple[int, ...]) -> None:
    """Check a table whose rows have named numbers."""
    if name in PRODUCTS:
        raise ValueError(f"holds rows of {len(dtype.names or ())} named numbers where plain ones are needed")
    for field in dtype.names or ():
        if dtype[field].kind not in "biuf" or dtype[field].shape:
            raise ValueError(f"holds '{field}', which is {dtype[field]} and no number")
    if row_shape:
        raise ValueError(f"has rows {row_shape} of named numbers")


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


def check_rows(offsets: Mapping[str, np.ndarray]) -> None:
    """Check that products with a row for each voxel have rows for the same voxels, and those of events one row each.

    Args:
        offsets: product -> where its events begin.

    Raises:
        ValueError: two products differ; names the first event.
    """
    first: tuple[str, np.ndarray] | None = None
    for name in sorted(set(offsets) & set(PRODUCTS), key=list(PRODUCTS).index):
        counts = np.diff(offsets[name])
        if PRODUCTS[name][0] == EVENT:
            other, wanted = "one an event", np.ones_like(counts)
        else:
            first = first or (name, counts)
            other, wanted = f"those of '{first[0]}'", first[1]
        if not np.array_equal(counts, wanted):
            event = int(np.flatnonzero(counts != wanted)[0])
            raise ValueError(
                f"product '{name}' has {counts[event]} rows in event {event} and not {other}, {wanted[event]}"
            )


def check_values(name: str, values: np.ndarray) -> None:
    """Check the numbers of a product: finite, no negative energies and places, classes and instances from -1.

    Args:
        name: the product.
        values: some rows of it.

    Raises:
        ValueError: a number that makes no sense; names it.
    """
    if name not in PRODUCTS or not values.size:
        return
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ValueError(f"holds {values[~np.isfinite(values)][0]}")
        low, high = (_LEAST.get(name, -np.inf), np.inf)
    elif name in _CLASSES:
        low, high = -1, _LARGEST_CLASS
    elif name in _NUMBERED:
        low, high = -1, np.iinfo(np.int64).max
    elif name == "coordinates":
        low, high = 0, np.iinfo(np.int32).max
    else:
        return
    lowest, highest = values.min(), values.max()
    if lowest < low or highest > high:
        raise ValueError(f"holds {lowest if lowest < low else highest}, which is out of range")
