"""Checks and sorts voxels that a file stores as a number and a value each; used by all readers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.interface import ClusterVoxels, merge_equal, stable_order, unflatten
from mlreco.voxels import EventVoxels, ImageMeta

Fail = Callable[[str], UserError]
"""Makes the error that names file, event and product."""


def check_ids(ids: np.ndarray, meta: ImageMeta, fail: Fail) -> np.ndarray:
    """Return voxel numbers as int64.

    Raises:
        UserError: a number lies outside the image.
    """
    volume = int(np.prod(meta.shape, dtype=np.int64))
    if len(ids) and int(ids.max()) >= volume:
        raise _outside(ids[ids >= volume][0], meta, fail)
    if len(ids) and ids.dtype.kind == "i" and int(ids.min()) < 0:
        raise _outside(ids[ids < 0][0], meta, fail)
    return ids.astype(np.int64)


def check_values(ids: np.ndarray, values: np.ndarray, meta: ImageMeta, fail: Fail) -> np.ndarray:
    """Return values as contiguous float32.

    Args:
        ids: (N,) int64 voxel numbers in C order, for the message.
        values: (N,) floats.
        meta: geometry of the image.
        fail: makes the error.

    Raises:
        UserError: a value is NaN or infinite.
    """
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        first = int(np.flatnonzero(~finite)[0])
        raise fail(f"voxel {_position(ids[first], meta)} has the value {values[first]}")
    return values


def image_of(ids: np.ndarray, values: np.ndarray, producer: str, meta: ImageMeta, fail: Fail) -> EventVoxels:
    """Return the image of checked voxels in any order.

    Args:
        ids: (N,) int64 voxel numbers in C order.
        values: (N,) float32.
        producer: name of the only column.
        meta: geometry of the image.
        fail: makes the error.

    Raises:
        UserError: a voxel occurs more than once.
    """
    if not (ids[1:] > ids[:-1]).all():
        order = stable_order(ids)
        ids, values = ids[order], values[order]
        twice = np.flatnonzero(ids[1:] == ids[:-1])
        if len(twice):
            raise fail(f"voxel {_position(ids[twice[0]], meta)} occurs more than once")
    return EventVoxels(unflatten(ids, meta.shape), values[:, None], (producer,), meta)


def sets_of(ids: np.ndarray, values: np.ndarray, counts: np.ndarray, meta: ImageMeta, fail: Fail) -> ClusterVoxels:
    """Return voxel sets of checked voxels, set after set; values of a voxel that occurs twice in one set are added.

    Args:
        ids: (M,) int64 voxel numbers in C order.
        values: (M,) float32.
        counts: (S,) int64 number of voxels of each set.
        meta: geometry of the image.
        fail: makes the error.

    Raises:
        UserError: more sets than can be numbered.
    """
    volume = int(np.prod(meta.shape, dtype=np.int64))
    if len(counts) * float(volume) > 2.0**62:
        raise fail(f"has {len(counts)} sets, too many for its image")
    sets = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    keys = sets * np.int64(volume) + ids
    if not (keys[1:] > keys[:-1]).all():
        keys, values = merge_equal(keys, values)
        sets = (keys // volume).astype(np.int32)
        ids = keys - sets * np.int64(volume)
    return ClusterVoxels(unflatten(ids, meta.shape), values, sets, len(counts), meta)


def _outside(voxel_id: int, meta: ImageMeta, fail: Fail) -> UserError:
    return fail(f"voxel id {int(voxel_id)} lies outside the image of {' x '.join(map(str, meta.shape))} voxels")


def _position(voxel_id: int, meta: ImageMeta) -> str:
    x, y, z = unflatten(np.array([voxel_id]), meta.shape)[0].tolist()
    return f"({x}, {y}, {z})"
