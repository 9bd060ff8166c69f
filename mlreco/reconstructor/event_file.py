"""Files of events of any supported kind, as sequences of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.iotools import HDF5Reader, LArCVDataset, open_reader
from mlreco.iotools.interface import Reader, flat_index, holds_classes, told_scheme
from mlreco.iotools.output.events import OutputEventsReader
from mlreco.reconstructor.event import Event
from mlreco.semantics import UNKNOWN, class_scheme
from mlreco.voxels import EventVoxels


def open_events(path: str | Path, image: str | None = None, scheme: str | None = None) -> EventFile:
    """Open a file of events: an output of ``mlreco inference``, LArCV3, LArCV2 or PILArNet-M, told by its content.

    Args:
        path: the file.
        image: name of the image of energies, such as ``sparse3d_pcluster``; needed only where a file holds several.
        scheme: numbering of the true classes, ``pilarnet`` or ``mlreco``, where the file does not tell (``pilarnet``).

    Raises:
        UserError: no such file, none that is read, damage, or no image of that name.
    """
    if not isinstance(path, (str, Path)):
        raise UserError(f"a file of events is named by a text or a path, not {type(path).__name__}")
    if OutputEventsReader.recognizes(path):
        if image is not None or scheme is not None:
            raise UserError(f"{path}: an output file of mlreco tells its image and its class scheme itself")
        return OutputEvents(path)
    return InputEvents(open_reader(path), image, scheme)


class EventFile(Sequence[Event]):
    """The events of a file, read when they are asked for; also a context that closes it.

    Attributes:
        path: the file.
        products: names of the arrays of its events.
        info: attributes of the file.
    """

    path: Path
    products: tuple[str, ...]
    info: dict[str, Any]

    def _event(self, index: int) -> Event:
        raise NotImplementedError

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice):
            return [self._event(number) for number in range(len(self))[index]]
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError(f"events are counted by whole numbers, not {type(index).__name__}")
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: no event {index}; there are {len(self)}")
        return self._event(int(index) % len(self))

    def __iter__(self) -> Iterator[Event]:
        return map(self._event, range(len(self)))

    def __repr__(self) -> str:
        return f"<{self.path}: {len(self)} events with {', '.join(self.products)}>"

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OutputEvents(EventFile):
    """Events of an output file.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reader = HDF5Reader(path)
        self.products = self._reader.products
        self.info = {**self._reader.info, "columns": self._reader.columns}

    def __len__(self) -> int:
        return len(self._reader)

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        self._reader.close()

    def _event(self, index: int) -> Event:
        return Event(self._reader.event(index), self.info, name=f"{self.path.name}, event {index}")


class InputEvents(EventFile):
    """Events that were not reconstructed yet; voxels sorted by x, y, z, with labels where the file has them.

    Args:
        reader: the file.
        image: name of the image of energies; None for the only one, or that of ``pcluster``.
        scheme: numbering of the true classes, where the file does not tell.
    """

    def __init__(self, reader: Reader, image: str | None, scheme: str | None) -> None:
        self.path = Path(reader.path)
        self._image = _image_of_energies(reader, image)
        producer = self._image.partition("_")[2]
        names = reader.products()
        classes = [name for name in names if holds_classes(name)]
        own = f"sparse3d_{producer}_semantics"
        self._classes = own if own in classes else next(iter(classes), None)
        sets = f"cluster3d_{producer}"
        self._sets = sets if sets in names and self._classes else None
        told = told_scheme(reader, self._classes) if self._classes else None
        if told and scheme and told != scheme:
            raise UserError(f"{self.path}: the classes are numbered as in '{told}', not as in '{scheme}'")
        chosen = class_scheme(told or scheme or "pilarnet")
        self._dataset = LArCVDataset(self.path, self._schema(), class_scheme=chosen.name, energies="image")
        self._scheme = chosen
        labels = (("semantics_true", self._classes), ("instances_true", self._sets))
        self.products = ("coordinates", "energies", *(name for name, product in labels if product))
        self.info = {"class_scheme": chosen.name, "classes": list(chosen.classes), "source_files": [str(self.path)]}
        reader.close()

    def __len__(self) -> int:
        return len(self._dataset)

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        self._dataset.close()

    def _schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"image": ["parse_sparse3d", self._image]}
        if self._classes:
            schema["classes"] = ["parse_sparse3d", self._classes]
        if self._sets:
            arguments = {"cluster_event": self._sets, "sparse_semantics_event": self._classes}
            schema["sets"] = {"parser": "parse_cluster3d_clean_full", "args": arguments}
        return schema

    def _event(self, index: int) -> Event:
        found = self._dataset.fetch(index)
        image: EventVoxels = found["image"]
        products = {"coordinates": image.coordinates, "energies": image.features[:, 0]}
        if "classes" in found:
            products["semantics_true"] = _on_rows(image, found["classes"], found["classes"].columns[0], np.int8)
        if "sets" in found:
            products["instances_true"] = _on_rows(image, found["sets"], "cluster", np.int32)
        meta = image.meta
        products["event_id"] = found["event_id"].reshape(1, 3)
        products["source"] = found["source"].reshape(1, 2)
        products["image_shape"] = np.asarray(meta.shape, np.int64).reshape(1, 3)
        products["image_origin"] = np.asarray(meta.origin, np.float64).reshape(1, 3)
        products["voxel_size"] = np.asarray(meta.voxel_size, np.float64).reshape(1, 3)
        return Event(products, self.info, name=f"{self.path.name}, event {index}")


def _image_of_energies(reader: Reader, wanted: str | None) -> str:
    images = [name for name in reader.products() if name.startswith("sparse3d_") and not holds_classes(name)]
    if wanted is not None:
        if wanted not in reader.products():
            raise UserError(f"{reader.path}: no image '{wanted}'{nearest(wanted, images)}")
        return wanted
    if "sparse3d_pcluster" in images:
        return "sparse3d_pcluster"
    if len(images) == 1:
        return images[0]
    raise UserError(
        f"{reader.path}: which image holds the energies? say image=; there are: {', '.join(images) or 'no images'}"
    )


def _on_rows(image: EventVoxels, table: EventVoxels, column: str, dtype: type) -> np.ndarray:
    """Return a column of a table on the rows of the image, UNKNOWN where the table has no such voxel."""
    x, y, z = np.maximum(image.meta.shape, table.meta.shape).tolist()
    wanted, present = flat_index(image.coordinates, (x, y, z)), flat_index(table.coordinates, (x, y, z))
    values: np.ndarray = np.full(len(wanted), UNKNOWN, dtype)
    if not len(present):
        return values
    order = np.argsort(present, kind="stable")
    place = np.searchsorted(present[order], wanted).clip(max=len(present) - 1)
    found = present[order][place] == wanted
    values[found] = table.column(column)[order][place][found].astype(dtype)
    return values
