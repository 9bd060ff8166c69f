"""The pairs (input row, output row) of a sparse convolution, for every offset of its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlreco.sparse.maps import strided, submanifold
from mlreco.sparse.maps.keys import coordinates_from_keys, join, keys_from_coordinates, largest, split
from mlreco.sparse.native.job import Job
from mlreco.sparse.native.memory import HoldsAddresses

__all__ = ["KernelMap", "coordinates_from_keys", "downsample_map", "keys_from_coordinates", "submanifold_map"]


@dataclass(frozen=True)
class KernelMap(HoldsAddresses):
    """Pairs (input row, output row) grouped by kernel offset, in ascending order of output rows within an offset.

    Attributes:
        n_in, n_out: number of input and output rows.
        in_rows, out_rows: (P,) int32; within an offset every output row occurs at most once, and every input row too.
        starts: (K + 1,) int64, the pairs of offset k are those in [starts[k], starts[k + 1]).
    """

    n_in: int
    n_out: int
    in_rows: np.ndarray
    out_rows: np.ndarray
    starts: np.ndarray
    _derived: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def offsets(self) -> int:
        """K, the number of offsets."""
        return len(self.starts) - 1

    @property
    def bounds(self) -> np.ndarray:
        """(K, B + 1) int64: the first pair of offset k whose output row is at least j * ``submanifold.BLOCK``."""
        if "bounds" not in self._derived:
            bounds = submanifold.block_bounds(self.out_rows, self.starts, self.n_out, submanifold.BLOCK)
            self._derived.setdefault("bounds", bounds)
        return self._derived["bounds"]

    @property
    def identity(self) -> np.ndarray:
        """(n_out,) int32: the numbers of the output rows."""
        if "identity" not in self._derived:
            self._derived.setdefault("identity", np.arange(self.n_out, dtype=np.int32))
        return self._derived["identity"]

    @property
    def pointwise(self) -> KernelMap:
        """The map of a linear layer on the output rows: one offset, every row paired with itself."""
        if "pointwise" not in self._derived:
            rows, starts = self.identity, np.array([0, self.n_out], np.int64)
            self._derived.setdefault("pointwise", KernelMap(self.n_out, self.n_out, rows, rows, starts))
        return self._derived["pointwise"]

    @property
    def record(self) -> Job:
        """The ``MAP`` structure that kernels read."""
        if "record" not in self._derived:
            record = Job(
                submanifold.MAP,
                n_in=self.n_in,
                n_out=self.n_out,
                offsets=self.offsets,
                n_bounds=self.bounds.shape[1],
                pairs=len(self.in_rows),
                in_rows=self.in_rows,
                out_rows=self.out_rows,
                bounds=self.bounds,
                identity=self.identity,
            )
            self._derived.setdefault("record", record)
        return self._derived["record"]

    def transposed(self) -> KernelMap:
        """Return the same pairs with the roles of input and output swapped."""
        if "transposed" not in self._derived:
            swapped = _ascending(self.n_out, self.n_in, self.out_rows, self.in_rows, self.starts)
            self._derived["transposed"] = swapped
        return self._derived["transposed"]

    def with_rows(self, in_order: np.ndarray | None = None, out_order: np.ndarray | None = None) -> KernelMap:
        """Return the map between renumbered rows.

        Args:
            in_order: (n_in,) new number of every input row; None keeps them.
            out_order: (n_out,) new number of every output row; None keeps them.
        """
        in_rows = self.in_rows if in_order is None else in_order.astype(np.int32)[self.in_rows]
        out_rows = self.out_rows if out_order is None else out_order.astype(np.int32)[self.out_rows]
        return _ascending(self.n_in, self.n_out, in_rows, out_rows, self.starts)


def _ascending(n_in: int, n_out: int, in_rows: np.ndarray, out_rows: np.ndarray, starts: np.ndarray) -> KernelMap:
    """Return the map of these pairs, sorted by output row within every offset if they are not."""
    if not submanifold.is_ascending(out_rows, starts):
        offset = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        order = np.argsort(offset * n_out + out_rows)
        in_rows, out_rows = in_rows[order], out_rows[order]
    return KernelMap(n_in, n_out, in_rows, out_rows, starts)


def submanifold_map(keys: np.ndarray, kernel_size: int = 3) -> KernelMap:
    """Return the map of a convolution whose output sites are its input sites.

    Offset (i, j, l) has number (i * size + j) * size + l and takes input site = output site + (i, j, l) - size // 2.

    Args:
        keys: (N,) strictly ascending keys.
        kernel_size: odd edge of the kernel.
    """
    in_rows, out_rows, starts = submanifold.submanifold_pairs(*split(keys), kernel_size)
    return KernelMap(len(keys), len(keys), in_rows, out_rows, starts)


def downsample_map(
    keys: np.ndarray,
    kernel_size: int = 2,
    stride: int = 2,
    padding: int = 0,
    shape: Sequence[int] | None = None,
) -> tuple[KernelMap, np.ndarray]:
    """Return the map of a strided convolution and the ascending keys of its output sites.

    Every site that an input reaches is an output site: input site = output site * stride - padding + (i, j, l).

    Args:
        keys: (N,) strictly ascending keys.
        kernel_size: edge of the kernel.
        stride: step between output sites.
        padding: voxels added in front of the image.
        shape: number of output sites along x, y, z; sites beyond are left out. None: no limit.
    """
    coordinates = coordinates_from_keys(keys)
    inside = shape is None or (largest(coordinates[:, 1:]) // stride < np.asarray(shape)).all()
    if kernel_size == stride and padding == 0 and inside:
        in_rows, out_rows, starts, *coarse = strided.coarse_pairs(*split(keys), stride)
        coarse_keys = join(*coarse)
    else:
        in_rows, out_rows, starts, coarse_keys = _reached(coordinates, kernel_size, stride, padding, shape)
    return KernelMap(len(keys), len(coarse_keys), in_rows, out_rows, starts), coarse_keys


def _reached(
    coordinates: np.ndarray, kernel_size: int, stride: int, padding: int, shape: Sequence[int] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs and output keys for any kernel size, stride and padding, by sorting all sites reached."""
    rows, keys = [], []
    for offset in np.ndindex(kernel_size, kernel_size, kernel_size):
        site, rest = np.divmod(coordinates[:, 1:] + padding - np.array(offset), stride)
        reached = (rest == 0) & (site >= 0)
        if shape is not None:
            reached &= site < np.asarray(shape)
        row = np.flatnonzero(reached.all(axis=1))
        rows.append(row)
        keys.append(keys_from_coordinates(np.column_stack([coordinates[row, 0], site[row]])))
    coarse_keys, out_rows = np.unique(np.concatenate(keys), return_inverse=True)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(row) for row in rows])])
    return np.concatenate(rows).astype(np.int32), out_rows.astype(np.int32), starts, coarse_keys
