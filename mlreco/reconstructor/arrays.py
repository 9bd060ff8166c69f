"""Checks arrays of a user and converts them to an image like those of the readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.interface import flat_index, merge_equal, stable_order, unflatten
from mlreco.semantics import UNKNOWN, ClassScheme
from mlreco.voxels import EventVoxels, ImageMeta

_HIGHEST = 1 << 16
"""Voxels along an edge of an image, at most, as many as the convolutions take: 200 m of voxels of 3 mm."""
_AXES = "xyz"


@dataclass(frozen=True)
class GivenEvent:
    """One event as a user gave it.

    Attributes:
        image: its voxels, sorted, equal ones merged, with the energy as the only feature.
        order: (N,) rows of the image in the order in which its voxels were first given.
        row: (M,) row, in the order of ``order``, of each voxel that was given; None where none was given twice.
        semantics: (N,) int64 true classes on the rows of the image, None without.
        instances: (N,) int64 true instances on the rows of the image, None without.
        event_id: run, subrun, event.
        source: number of the file and entry in it.
    """

    image: EventVoxels
    order: np.ndarray
    row: np.ndarray | None = None
    semantics: np.ndarray | None = None
    instances: np.ndarray | None = None
    event_id: tuple[int, int, int] = (0, 0, 0)
    source: tuple[int, int] = (0, 0)


def image_meta(voxel_size: Any, image_shape: Any, image_origin: Any) -> ImageMeta:
    """Return the checked geometry of an image.

    Args:
        voxel_size: edge of a voxel in cm, or three of them.
        image_shape: number of voxels along x, y, z, or one number for a cube.
        image_origin: position of the corner of voxel (0, 0, 0) in cm.

    Raises:
        UserError: a value is missing or makes no sense.
    """
    if voxel_size is None:
        raise UserError("voxel_size is missing: the edge of a voxel in cm, such as voxel_size=0.3")
    size = _three("voxel_size", voxel_size, float)
    if min(size) <= 0:
        raise UserError(f"voxel_size must be positive, in cm, not {voxel_size!r}")
    shape = _three("image_shape", image_shape, int)
    if min(shape) < 1 or max(shape) > _HIGHEST:
        raise UserError(f"image_shape must be numbers of voxels from 1 to {_HIGHEST}, not {image_shape!r}")
    return ImageMeta(shape, _three("image_origin", image_origin, float), size)


def given_event(
    coordinates: Any,
    energies: Any,
    meta: ImageMeta,
    *,
    semantics: Any = None,
    instances: Any = None,
    scheme: ClassScheme | None = None,
    name: str = "",
    **identity: Any,
) -> GivenEvent:
    """Check the arrays of one event.

    The energies of voxels that are given several times are added, as the readers add deposits in one voxel; such a
    voxel has the class and instance of its largest deposit.

    Args:
        coordinates: (N, 3) voxel numbers x, y, z; floating point numbers must be whole.
        energies: (N,) MeV, not negative.
        meta: geometry of the image.
        semantics: (N,) true classes, where they are known.
        instances: (N,) true instances, where they are known.
        scheme: numbering of the classes.
        name: what begins an error, such as ``event 3: ``.
        identity: ``event_id`` and ``source`` of the event.

    Raises:
        UserError: what is wrong, and what would be right.
    """
    voxels = _coordinates(_array(coordinates, "coordinates", name), meta, name)
    values = _energies(_array(energies, "energies", name), len(voxels), name)
    classes = _labels(semantics, "semantics", len(voxels), name)
    numbers = _labels(instances, "instances", len(voxels), name)
    if classes is not None and scheme is not None:
        _check_classes(classes, scheme, name)
    keys = flat_index(voxels, meta.shape)
    merged, summed = merge_equal(keys, values)
    if not np.isfinite(summed).all():
        raise UserError(f"{name}the energies of one voxel add up to more than float32 can hold")
    image = EventVoxels(unflatten(merged, meta.shape), summed[:, None], ("energy",), meta)
    rows = stable_order(keys)
    if len(merged) == len(keys):
        return GivenEvent(image, np.argsort(rows), None, _take(classes, rows), _take(numbers, rows), **identity)
    group = np.searchsorted(merged, keys)
    order, row = _first_seen(group, len(merged))
    largest = _largest(group, values)
    return GivenEvent(image, order, row, _take(classes, largest), _take(numbers, largest), **identity)


def _first_seen(group: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the groups in the order in which their first members stand, and the place of each member's group."""
    first = np.full(count, len(group))
    np.minimum.at(first, group, np.arange(len(group)))
    order = np.argsort(first, kind="stable")
    return order, np.argsort(order)[group]


def _largest(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the row of the largest value of each group, the first of equal ones."""
    rows = np.lexsort((np.arange(len(group)), -values, group))
    return rows[np.concatenate(([True], np.diff(group[rows]) > 0))]


def _take(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]


def _three(what: str, value: Any, kind: type) -> tuple[Any, Any, Any]:
    """Return three numbers of one or three."""
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        numbers = np.full(2, np.nan)
    if numbers.shape not in ((), (1,), (3,)) or not np.isfinite(numbers).all() or isinstance(value, (bool, str)):
        raise UserError(f"{what} must be one number or three, not {value!r}")
    x, y, z = np.broadcast_to(numbers, 3).tolist()
    if kind is int and any(not number.is_integer() for number in (x, y, z)):
        raise UserError(f"{what} must be whole numbers of voxels, not {value!r}")
    return (kind(x), kind(y), kind(z))


def _array(values: Any, what: str, name: str) -> np.ndarray:
    """Return numbers as an array, or refuse what has no plain numbers in it."""
    if isinstance(values, Mapping):
        raise UserError(f"{name}{what}: {type(values).__name__} {values!r} among arrays; give arrays, or events alone")
    if values is None:
        raise UserError(f"{name}{what} are missing")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise UserError(f"{name}{what} are a masked array; give the values that are not masked alone")
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
    except TypeError:
        raise UserError(
            f"{name}{what} must be numbers, not {getattr(values, 'dtype', type(values).__name__)}"
        ) from None
    except (ValueError, RuntimeError):
        raise UserError(f"{name}{what} are no array of numbers: rows of different lengths?") from None
    if array.dtype.kind not in "iuf":
        hint = "; files are reconstructed by predict_file" if isinstance(values, (str, Path)) else ""
        raise UserError(f"{name}{what} must be numbers, not {array.dtype}{hint}")
    return array


def _coordinates(array: np.ndarray, meta: ImageMeta, name: str) -> np.ndarray:
    if array.ndim != 2 or array.shape[1] != 3:
        hint = ""
        if array.ndim == 2 and array.shape[1] in (4, 5):
            hint = "; without the column of the batch or of the energy"
        elif array.ndim == 2 and array.shape[0] == 3:
            hint = "; give their transpose"
        raise UserError(f"{name}coordinates must have the shape (N, 3), not {array.shape}{hint}")
    if array.dtype.kind == "f":
        _check_whole(array, name)
    outside = (array < 0) | (array >= np.asarray(meta.shape))
    if outside.any():
        row, axis = np.argwhere(outside)[0].tolist()
        low, high = array.min(axis=0).tolist(), array.max(axis=0).tolist()
        raise UserError(
            f"{name}coordinates in row {row}: {_AXES[axis]} = {array[row, axis]:g} lies outside the image of "
            f"{' x '.join(map(str, meta.shape))} voxels (they run from {_point(low)} to {_point(high)}); coordinates "
            f"are voxel numbers from 0: subtract the corner, or say image_shape="
        )
    return array.astype(np.int64)


def _check_whole(array: np.ndarray, name: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        row, axis = np.argwhere(~finite)[0].tolist()
        raise UserError(f"{name}coordinates in row {row}: {_AXES[axis]} = {array[row, axis]}")
    fractions = array != np.floor(array)
    if fractions.any():
        row, axis = np.argwhere(fractions)[0].tolist()
        raise UserError(
            f"{name}coordinates must be whole voxel numbers, and row {row} has {_AXES[axis]} = {array[row, axis]:g}; "
            f"are they centimetres? numpy.floor((positions - origin) / voxel_size) gives voxel numbers"
        )


def _energies(array: np.ndarray, count: int, name: str) -> np.ndarray:
    if array.shape != (count,):
        hint = "; give energies[:, 0]" if array.shape == (count, 1) else ""
        raise UserError(f"{name}energies must have the shape ({count},), one a voxel, not {array.shape}{hint}")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise UserError(f"{name}energies in row {row}: {array[row]:g} is no energy in MeV")
    negative = np.flatnonzero(values < 0)
    if len(negative):
        raise UserError(f"{name}energies in row {negative[0]}: {array[negative[0]]:g} is negative")
    return values


def _labels(values: Any, what: str, count: int, name: str) -> np.ndarray | None:
    if values is None:
        return None
    array = _array(values, what, name)
    if array.shape != (count,):
        raise UserError(f"{name}{what} must have the shape ({count},), one a voxel, not {array.shape}")
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.floor(array))).all():
        raise UserError(f"{name}{what} must be whole numbers")
    return array.astype(np.int64)


def _check_classes(classes: np.ndarray, scheme: ClassScheme, name: str) -> None:
    wrong = np.flatnonzero((classes < UNKNOWN) | (classes >= len(scheme)))
    if len(wrong):
        names = ", ".join(f"{number} {one}" for number, one in enumerate(scheme.classes))
        said = f"{name}semantics in row {wrong[0]}: {classes[wrong[0]]}"
        raise UserError(f"{said} is no class of '{scheme.name}' ({names}, -1 unknown)")


def _point(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"
