"""Files with many events of the size of PILArNet's, made of the two shipped ones with smeared charge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.images import SAMPLE
from mlreco.iotools import ClusterVoxels, LArCV3Reader, convert
from mlreco.iotools.larcv2.layout import (
    EVENT_LEAVES,
    META_COUNTS,
    META_ORIGINS,
    META_SIZES,
    VOXEL_IDS,
    VOXEL_SETS,
    VOXEL_VALUES,
)
from mlreco.voxels import EventVoxels, ImageMeta

SOURCE = SAMPLE / "fat_sample.h5"
IMAGE, SETS = "pcluster", "pcluster"
_EVENTS_A_BASKET = 10
_MEMBERWISE_VERSION, _CLASS_VERSION = 0x400A, 1


def larcv3(path: Path, events: int, compressed: bool) -> Path:
    """Write a LArCV3 file with an even number of events, as ``mlreco convert`` does."""
    convert([SOURCE] * (events // 2), path, "larcv3" if compressed else "cache")
    return path


def mean_voxels() -> int:
    """Return the mean number of voxels of an image."""
    reader = LArCV3Reader(SOURCE)
    mean = int(reader.voxel_counts(f"sparse3d_{IMAGE}").mean())
    reader.close()
    return mean


def larcv2(path: Path, events: int) -> Path:
    """Write the image and the voxel sets of as many events to a ROOT file whose leaves are those of LArCV2.

    uproot writes it: the voxel sets as the bytes that ROOT would stream, in leaves of bytes.

    Raises:
        ImportError: uproot is not installed.
    """
    import awkward as ak
    import uproot

    reader = LArCV3Reader(SOURCE)
    images = [reader.sparse3d(index, IMAGE) for index in range(len(reader))]
    sets = [reader.cluster3d(index, SETS) for index in range(len(reader))]
    reader.close()
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        _fill(file, f"sparse3d_{IMAGE}_tree", events, [_image_leaves(image, ak) for image in images], ak)
        _fill(file, f"cluster3d_{SETS}_tree", events, [_set_leaves(one) for one in sets], ak)
    return path


def _fill(file: Any, name: str, events: int, rows: list[dict[str, Any]], ak: Any) -> None:
    """Write a tree of events that are the given ones over and over again."""
    tree = None
    for first in range(0, events, _EVENTS_A_BASKET):
        numbers = range(first, min(first + _EVENTS_A_BASKET, events))
        chosen = [rows[number % len(rows)] for number in numbers]
        leaves = {leaf: _column([row[leaf] for row in chosen], ak) for leaf in rows[0]}
        leaves |= {leaf: np.array(numbers, np.uint64) for leaf in EVENT_LEAVES}
        if tree is None:
            tree = file.mktree(name, {leaf: _type(values) for leaf, values in leaves.items()})
        tree.extend(leaves)


def _column(values: list[Any], ak: Any) -> Any:
    if np.ndim(values[0]):
        return ak.unflatten(np.concatenate(values), [len(one) for one in values])
    return np.array(values)


def _type(values: Any) -> Any:
    return values.dtype if isinstance(values, np.ndarray) else values.type.content


def _image_leaves(image: EventVoxels, ak: Any) -> dict[str, Any]:
    ids = _column_major(image.coordinates, image.meta.shape)
    order = np.argsort(ids)
    voxels = {VOXEL_IDS: ids[order], VOXEL_VALUES: image.features[order, 0]}
    return {**voxels, **_meta_leaves(image.meta)}


def _set_leaves(sets: ClusterVoxels) -> dict[str, Any]:
    ids = _column_major(sets.coordinates, sets.meta.shape)
    parts = []
    for number in range(sets.num_sets):
        mine = np.flatnonzero(sets.sets == number)
        mine = mine[np.argsort(ids[mine])]
        parts += [np.array(len(mine), ">i4"), ids[mine].astype(">u8"), sets.values[mine].astype(">f4")]
    body = b"".join(part.tobytes() for part in parts)
    head = np.array([_MEMBERWISE_VERSION, _CLASS_VERSION], ">u2").tobytes()
    count = np.array((len(head) + len(body)) | 0x40000000, ">u4").tobytes()
    return {VOXEL_SETS: np.frombuffer(count + head + body, np.uint8), **_meta_leaves(sets.meta)}


def _meta_leaves(meta: ImageMeta) -> dict[str, Any]:
    names = zip(
        (*META_COUNTS, *META_SIZES, *META_ORIGINS[0]), (*meta.shape, *meta.voxel_size, *meta.origin), strict=True
    )
    return {name: np.uint64(value) if name in META_COUNTS else np.float64(value) for name, value in names}


def _column_major(coordinates: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Number voxels as LArCV2 does, x fastest."""
    x, y, z = coordinates.astype(np.uint64).T
    return x + np.uint64(shape[0]) * (y + np.uint64(shape[1]) * z)
