"""The interface of readers of event files, and the types of the products that they return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from mlreco.errors import UserError
from mlreco.voxels import EventVoxels, ImageMeta

NO_IMAGE = ImageMeta((1, 1, 1))
"""Geometry of an empty event in a file that holds no geometry at all."""


@dataclass(frozen=True)
class ClusterVoxels:
    """Voxel sets of one event, set after set; within a set sorted by x, y, z without duplicates.

    Attributes:
        coordinates: (M, 3) int32, voxel numbers x, y, z. A voxel may stand in several sets.
        values: (M,) float32, usually the energy that the set's particle left in the voxel, MeV.
        sets: (M,) int32, number of the set.
        num_sets: number of sets, empty ones included.
        meta: geometry of the image.
    """

    coordinates: np.ndarray
    values: np.ndarray
    sets: np.ndarray
    num_sets: int
    meta: ImageMeta

    def __len__(self) -> int:
        return len(self.coordinates)


@runtime_checkable
class Reader(Protocol):
    """A file of events. Implementations open lazily, survive pickling and a fork, and raise UserError for bad files."""

    path: Path

    def __len__(self) -> int:
        """Number of events."""

    def products(self) -> tuple[str, ...]:
        """Names of the products, such as ``sparse3d_pcluster``: kind, underscore, producer."""

    def event_id(self, index: int) -> np.ndarray:
        """(3,) int64: run, subrun, event."""

    def sparse3d(self, index: int, producer: str) -> EventVoxels:
        """Voxels of an image with one feature, whose column is named after the producer."""

    def cluster3d(self, index: int, producer: str) -> ClusterVoxels:
        """Voxel sets."""

    def particles(self, index: int, producer: str) -> np.ndarray:
        """Structured array, one row a particle; positions in cm."""

    def close(self) -> None:
        """Release the file; the next access opens it again."""


def read_product(reader: Reader, index: int, product: str) -> EventVoxels | ClusterVoxels | np.ndarray:
    """Read a product by its full name, such as ``sparse3d_pcluster``.

    Raises:
        UserError: no such product, or damaged data.
    """
    kind, _, producer = product.partition("_")
    method = {"sparse3d": "sparse3d", "cluster3d": "cluster3d", "particle": "particles", "graph": "graph"}[kind]
    return getattr(reader, method)(index, producer)


def read_voxels(reader: Reader, index: int, product: str) -> EventVoxels | ClusterVoxels:
    """Read an image or voxel sets by their full name.

    Raises:
        UserError: no such product, a product without voxels, or damaged data.
    """
    content = read_product(reader, index, product)
    if isinstance(content, np.ndarray):
        raise UserError(f"{reader.path}: '{product}' has no voxels; a product sparse3d_... or cluster3d_... is needed")
    return content


def image_meta(reader: Reader, index: int, product: str) -> ImageMeta | None:
    """Return the geometry of an image or of voxel sets, None where the event has none.

    Readers that have a method of this name find it without reading voxels.

    Raises:
        UserError: no such product, or damaged data.
    """
    tell = getattr(reader, "image_meta", None)
    meta = read_voxels(reader, index, product).meta if tell is None else tell(index, product)
    return None if meta == NO_IMAGE else meta


def told_scheme(reader: Reader, product: str) -> str | None:
    """Return the class scheme of an image of classes, None where it follows neither from its name nor from the file."""
    return "mlreco" if product.endswith("_mlreco") else getattr(reader, "class_scheme", None)


def holds_classes(product: str) -> bool:
    """Whether a product is an image of semantic classes, judged by its name."""
    return product.startswith("sparse3d_") and "semantics" in product


def flat_index(coordinates: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Number voxels in C order (z fastest).

    Args:
        coordinates: (N, 3) integers inside ``shape``.
        shape: voxels along x, y, z.

    Returns:
        (N,) int64; its order is the order of coordinates by x, then y, then z.
    """
    x, y, z = coordinates.astype(np.int64, copy=False).T
    return (x * shape[1] + y) * shape[2] + z


def unflatten(index: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Invert ``flat_index``: (N,) integers to (N, 3) int32 coordinates."""
    small = int(np.prod(shape, dtype=np.int64)) < 1 << 32
    index = index.astype(np.uint32 if small else np.int64, copy=False)
    coordinates = np.empty((len(index), 3), dtype=np.int32)
    plane = _divided(index, shape[2], coordinates[:, 2])
    coordinates[:, 0] = _divided(plane, shape[1], coordinates[:, 1])
    return coordinates


def _divided(numbers: np.ndarray, size: int, rest: np.ndarray) -> np.ndarray:
    """Return quotients and write remainders; several times as fast as `numpy.divmod`, which is not vectorised."""
    quotients = numbers // numbers.dtype.type(size)
    rest[...] = numbers - quotients * numbers.dtype.type(size)
    return quotients


def stable_order(keys: np.ndarray) -> np.ndarray:
    """Return (N,) positions that sort (N,) integers from 0; equal ones stay in order.

    If the bits suffice, the position is appended to the key: sorting values is vectorised, a stable argsort is not.
    """
    bits = len(keys).bit_length()
    if not len(keys) or int(keys.max()) >= 1 << (63 - bits):
        return np.argsort(keys, kind="stable")
    packed = (keys.astype(np.int64, copy=False) << bits) | np.arange(len(keys))
    packed.sort()
    return packed & ((1 << bits) - 1)


def merge_equal(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort keys and add the values of equal ones.

    Args:
        keys: (N,) int64.
        values: (N,) float32.

    Returns:
        (M,) strictly increasing keys and (M,) float32 sums.
    """
    if (keys[1:] > keys[:-1]).all():
        return keys, values
    order = stable_order(keys)
    keys, values = keys[order], values[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    if len(starts) == len(keys):
        return keys, values
    return keys[starts], np.add.reduceat(values.astype(np.float64), starts).astype(np.float32)
