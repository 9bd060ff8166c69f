"""The parts of a merged file: output files beside it that hold the rows of its tables."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import h5py
import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from mlreco.errors import UserError

PARTS = "parts"
"""Attribute of ``/info`` that lists the parts of a merged file, as JSON text."""
OF_THE_FILE = ("source",)
"""Products that a merged file stores itself, because their numbers differ in its parts."""
_OPEN = 16
"""Parts that are open at once."""


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.name or ".." in path.parts:
        raise PydanticCustomError("name", "a part lies in the folder of the merged file, or below it")
    return name


class Part(BaseModel):
    """One part.

    Attributes:
        name: its path from the folder of the merged file.
        bytes: its size.
        events: how many it has.
        digest: that of its texts, which another run of the same program changes.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, AfterValidator(_inside)]
    bytes: int = Field(ge=0)
    events: int = Field(ge=0)
    digest: str | None = None


_LISTED = TypeAdapter(Annotated[tuple[Part, ...], Field(min_length=1)])


def parts_text(parts: Sequence[Part]) -> str:
    """Return the attribute for some parts."""
    return _LISTED.dump_json(tuple(parts)).decode()


def parts_of(text: str) -> tuple[Part, ...]:
    """Return the parts that an attribute lists.

    Raises:
        ValueError: it has another form, or names a file elsewhere.
    """
    try:
        return _LISTED.validate_json(text)
    except ValidationError as error:
        raise ValueError(f"/info {PARTS}: {error.errors()[0]['msg']}") from None


def is_virtual(table: Any) -> bool:
    """Whether the rows of a table of HDF5 stand in other files; nothing is read or followed."""
    return isinstance(table, h5py.Dataset) and table.id.get_create_plist().get_layout() == h5py.h5d.VIRTUAL


class Parts:
    """Rows out of parts, each read and checked as the output file that it is.

    The virtual tables of the merged file are never read through the HDF5 library.

    Args:
        path: the merged file.
        listed: its parts.
        open_part: opens an output file (`HDF5Reader`).

    Raises:
        UserError: a part is missing or has another size.
    """

    def __init__(self, path: Path, listed: Sequence[Part], open_part: Callable[[Path], Any]) -> None:
        self._path, self._listed, self._open_part = path, tuple(listed), open_part
        self._readers: OrderedDict[int, Any] = OrderedDict()
        self._bounds: dict[str, np.ndarray] = {}
        for number, part in enumerate(self._listed):
            try:
                size = self._place(number).stat().st_size
            except OSError as error:
                said = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
                raise UserError(f"{path}: its part {part.name} {said}; merge again, or copy (--copy)") from None
            if size != part.bytes:
                raise self._changed(number)

    def __len__(self) -> int:
        """Events of all parts."""
        return sum(part.events for part in self._listed)

    def row_type(self, product: str) -> tuple[np.dtype, tuple[int, ...]]:
        """Return type and shape of a row of a product.

        Raises:
            UserError: the parts do not have it.
        """
        first = self._reader(0)
        if product not in first.products:
            raise UserError(f"{self._path}: product '{product}' is not in its part {self._listed[0].name}")
        return first.row_dtype(product)

    def set_offsets(self, product: str, offsets: np.ndarray) -> None:
        """Set where the events of a product begin in the merged file.

        Raises:
            ValueError: there are more or fewer events than in the parts.
        """
        ends = np.cumsum([0, *(part.events for part in self._listed)])
        if len(offsets) != ends[-1] + 1:
            raise ValueError(f"has {len(offsets) - 1} events where its parts have {ends[-1]}")
        self._bounds[product] = offsets[ends]

    def holds(self, product: str) -> bool:
        """Whether the rows of a product stand in the parts."""
        return product in self._bounds

    def rows(self, product: str, begin: int, end: int) -> np.ndarray:
        """Return rows of a product, numbered as in the merged file.

        Raises:
            UserError: a part has changed or is damaged.
        """
        bounds = self._bounds[product]
        first = max(int(np.searchsorted(bounds, begin, side="right")) - 1, 0)
        pieces = []
        for number in range(first, len(self._listed)):
            low, high = max(begin, int(bounds[number])), min(end, int(bounds[number + 1]))
            if low < high:
                reader = self._reader(number)
                if reader.row_total(product) != bounds[number + 1] - bounds[number]:
                    raise self._changed(number)
                pieces.append(reader.rows(product, low - int(bounds[number]), high - int(bounds[number])))
            if bounds[number + 1] >= end:
                break
        if not pieces:
            dtype, row_shape = self.row_type(product)
            return np.empty((0, *row_shape), dtype)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def close(self) -> None:
        """Close the parts; the next access opens them again."""
        for reader in self._readers.values():
            reader.close()

    def _reader(self, number: int) -> Any:
        if number not in self._readers:
            reader, part = self._open_part(self._place(number)), self._listed[number]
            if len(reader) != part.events or (part.digest and reader.info.get("digest") != part.digest):
                raise self._changed(number)
            self._readers[number] = reader
            if len(self._readers) > _OPEN:
                self._readers.popitem(last=False)[1].close()
        self._readers.move_to_end(number)
        return self._readers[number]

    def _place(self, number: int) -> Path:
        return self._path.parent / self._listed[number].name

    def _changed(self, number: int) -> UserError:
        return UserError(
            f"{self._path}: its part {self._listed[number].name} is not the file that was merged; merge again"
        )
