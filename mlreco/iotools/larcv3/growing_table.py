"""A table in a file to which rows are appended."""

from __future__ import annotations

import h5py
import numpy as np


class GrowingTable:
    """A growing table with a buffer.

    Args:
        dataset: one-dimensional, of unlimited length.

    Attributes:
        length: number of rows, those in the buffer included.
        buffered: number of rows in the buffer.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self._rows: list[np.ndarray] = []
        self.length, self.buffered = len(dataset), 0

    def append(self, rows: np.ndarray) -> None:
        """Put rows into the buffer."""
        self._rows.append(rows)
        self.length += len(rows)
        self.buffered += len(rows)

    def flush(self) -> None:
        """Write the buffer to the dataset."""
        if self.buffered:
            self._dataset.resize(self.length, axis=0)
            rows = np.zeros(self.buffered, self._dataset.dtype)  # zeros, also in the gaps between the columns
            self._dataset[self.length - self.buffered :] = np.concatenate(self._rows, out=rows)
        self._rows, self.buffered = [], 0
