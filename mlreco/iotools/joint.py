"""Several datasets as one, such as events of files and events that are simulated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.event_parser import Event
from mlreco.iotools.skipped import Skipped
from mlreco.voxels import EventVoxels


class JointDataset:
    """The events of several datasets one after another; a dataset without end counts with the number that it states.

    Args:
        parts: at least one; all parse the same schema.

    Attributes:
        parts: these.
        firsts: (P,) place of the first event of each.
        files: of all of them.
        keys: schema keys that events have.
        left_out: optional schema keys that events lack, with the reason.
        remarks: what the user should know of them, a line each.
        endless: whether one of them has no last event.

    Raises:
        UserError: their voxels differ in size.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = list(parts)
        self.firsts = np.cumsum([0, *(len(part) for part in self.parts)])[:-1]
        self._first_files = np.cumsum([0, *(len(part.files) for part in self.parts)])[:-1]
        self.files: list[Path] = [file for part in self.parts for file in part.files]
        self.keys = self.parts[0].keys
        self.left_out = {key: why for part in self.parts for key, why in part.left_out.items()}
        self.remarks = tuple(remark for part in self.parts for remark in part.remarks)
        self.endless = any(getattr(part, "endless", False) for part in self.parts)
        self._check_voxels()

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def skipped_files(self) -> tuple[Skipped, ...]:
        """Files that cannot be opened."""
        return tuple(skipped for part in self.parts for skipped in part.skipped_files)

    def __getitem__(self, index: int) -> Event:
        return self.fetch(index)

    def fetch(self, index: int, rng: np.random.Generator | None = None, iteration: int = 0) -> Event:
        """Return a parsed event; arguments and errors are those of the datasets."""
        number, place = self._locate(index)
        event = self.parts[number].fetch(place, rng, iteration)
        event["index"] = int(index)
        event["source"] = event["source"] + np.array([self._first_files[number], 0])
        return event

    def source(self, index: int) -> tuple[int, int]:
        """Return the number of the file and the entry in it for an event of this dataset."""
        number, place = self._locate(index)
        file, entry = self.parts[number].source(place)
        return int(self._first_files[number]) + file, entry

    def describe(self, index: int) -> str:
        """Return the beginning of a message about an event."""
        number, place = self._locate(index)
        return self.parts[number].describe(place)

    def spread(self, count: int) -> list[int]:
        """Return places of about so many events, evenly spread over each of the datasets."""
        share = -(-count // len(self.parts))
        places = [np.linspace(0, len(part) - 1, min(share, len(part))).astype(np.int64) for part in self.parts]
        return np.concatenate([first + one for first, one in zip(self.firsts, places, strict=True)]).tolist()

    def close(self) -> None:
        """Close all files and end all processes."""
        for part in self.parts:
            part.close()

    def _locate(self, index: int) -> tuple[int, int]:
        number = int(np.searchsorted(self.firsts, index, side="right")) - 1
        return number, int(index - self.firsts[number])

    def _check_voxels(self) -> None:
        """Compare the voxel sizes of the first events; within each dataset they have been compared already."""
        sizes = [(part.describe(0), size) for part in self.parts if (size := _voxel_size(part)) is not None]
        for name, size in sizes[1:]:
            if not np.allclose(size, sizes[0][1], rtol=1e-3, atol=0):
                raise UserError(
                    f"{name}: has voxels of {size[0]:.4g} cm, and {sizes[0][0]} of {sizes[0][1][0]:.4g} cm; the events "
                    f"of a training must have voxels of one size"
                )


def _voxel_size(dataset: Any) -> tuple[float, float, float] | None:
    blobs = dataset.fetch(0).values()
    return next((blob.meta.voxel_size for blob in blobs if isinstance(blob, EventVoxels)), None)
