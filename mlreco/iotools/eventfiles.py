"""Several files of events as one sequence."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.interface import Reader, image_meta, told_scheme
from mlreco.iotools.readers import open_reader
from mlreco.iotools.skipped import WHOLE_FILE, Skipped
from mlreco.voxels import ImageMeta

_OPEN_FILES = 32
_VOXEL_SIZE_TOLERANCE = 1e-3
"""Relative difference of voxel sizes that counts as none; files store the size of an image instead, sometimes in single
precision."""


class EventFiles:
    """Readers of a list of files, few of them open at a time.

    Args:
        files: the files.
        reader: name of the reader; by the files' content if None.
        skip: leave out files that cannot be opened, with the reason in ``skipped``, rather than raise.

    Attributes:
        files: all files, in order; their positions number them.
        skipped: files that were left out.

    Raises:
        UserError: a file cannot be opened; with ``skip``, none of them can.
    """

    def __init__(self, files: Sequence[Path], reader: str | None = None, skip: bool = False) -> None:
        self.files = list(files)
        self.skipped: list[Skipped] = []
        self._readers: list[Reader | None] = []
        self._open: OrderedDict[int, None] = OrderedDict()
        for file in self.files:
            try:
                opened = open_reader(file, reader)
                opened.close()
            except UserError as error:
                if not skip:
                    raise
                opened = None
                self.skipped.append(Skipped.because(file, WHOLE_FILE, str(error)))
            self._readers.append(opened)
        if len(self.skipped) == len(self.files):
            raise UserError(f"none of the {len(self.files)} files can be read; {self.skipped[0]}")
        self._ends = np.cumsum([0 if one is None else len(one) for one in self._readers])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def readers(self) -> Iterator[Reader]:
        """Yield the readers of the files that can be read."""
        return (reader for reader in self._readers if reader is not None)

    def reader(self, number: int) -> Reader:
        """Return the reader of a file, and close the one unused for longest where too many are open."""
        reader = self._readers[number]
        if reader is None:
            raise IndexError(f"{self.files[number]} was left out")
        self._open[number] = None
        self._open.move_to_end(number)
        if len(self._open) > _OPEN_FILES:
            oldest, _ = self._open.popitem(last=False)
            if (unused := self._readers[oldest]) is not None:
                unused.close()
        return reader

    def locate(self, number: int) -> tuple[int, int]:
        """Return the number of the file and the entry in it for event ``number`` of all."""
        file_number = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[file_number - 1]) if file_number else 0
        return file_number, number - before

    def numbers(self, events: np.ndarray) -> np.ndarray:
        """Return the number of the file of each of (n,) events of all, (n,) int64."""
        return np.searchsorted(self._ends, events, side="right")

    def voxel_counts(self, product: str) -> np.ndarray:
        """Return the number of voxels of an image in each event of all files, (n,) int64, from their tables.

        Raises:
            UserError: a file does not have them.
        """
        counts = []
        for reader in self.readers():
            told = getattr(reader, "voxel_counts", lambda product: None)(product)
            reader.close()
            if told is None:
                raise UserError(
                    f"{reader.path}: the number of voxels of an event stands in no table of this kind of file; "
                    f"'mlreco convert' makes one that tells it"
                )
            counts.append(told)
        return np.concatenate(counts)

    def close(self) -> None:
        """Close all files."""
        for reader in self.readers():
            reader.close()
        self._open.clear()

    def geometries(self, product: str) -> dict[tuple[int, int, int], Path]:
        """Return the sizes of images that occur, with the first file that has each, judged by first events.

        Images of different sizes may be mixed, since every event carries its own; voxels of different sizes may not.

        Args:
            product: a sparse3d or cluster3d product of all files.

        Raises:
            UserError: two files have voxels of different size; names both.
        """
        found: dict[tuple[int, int, int], Path] = {}
        first: tuple[Path, ImageMeta] | None = None
        for reader in self.readers():
            meta = self._first_meta(reader, product)
            if meta is None:
                continue
            first = first or (reader.path, meta)
            if not np.allclose(meta.voxel_size, first[1].voxel_size, rtol=_VOXEL_SIZE_TOLERANCE, atol=0):
                raise UserError(
                    f"{reader.path}: '{product}' has voxels of {_edges(meta)}, and {first[0]} of {_edges(first[1])}; "
                    f"files of one list must have voxels of one size"
                )
            found.setdefault(meta.shape, reader.path)
        return found

    def _first_meta(self, reader: Reader, product: str) -> ImageMeta | None:
        """Return the geometry of a file's first event, None where it has none or cannot be read."""
        try:
            return image_meta(reader, 0, product) if len(reader) else None
        except UserError:
            return None  # reading the event will raise the error
        finally:
            reader.close()


def check_schemes(readers: Sequence[Reader], product: str) -> tuple[Path, str] | None:
    """Return the class scheme that files have for an image of classes, and the first such file; None without any.

    Raises:
        UserError: two files have different schemes; names both.
    """
    telling = [(reader.path, scheme) for reader in readers if (scheme := told_scheme(reader, product))]
    for path, scheme in telling:
        if scheme != telling[0][1]:
            raise UserError(
                f"{path}: the classes of '{product}' are numbered as in '{scheme}', and those of {telling[0][0]} as in "
                f"'{telling[0][1]}'; files of one list must have one class scheme"
            )
    return telling[0] if telling else None


def _edges(meta: ImageMeta) -> str:
    return f"{' x '.join(f'{edge:.4g}' for edge in meta.voxel_size)} cm"
