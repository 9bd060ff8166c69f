"""Connected components of voxels, linked where they are near in space and similar in further values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.clustering.disjoint_sets import root, unite_roots
from mlreco.post_processing.clustering.linking import linked_components
from mlreco.post_processing.clustering.numbering import in_order_of_rows

MOST_SWEPT = 8.0
"""Voxels up to which the neighbours of a voxel are looked up one line after another; a tree finds those of longer
links."""
_LARGEST_IMAGE = 1 << 62
"""Voxels of an image that can be numbered."""


def linked_voxels(
    coordinates: np.ndarray,
    reach: float,
    alike: Sequence[tuple[np.ndarray, float]],
    swept: float = MOST_SWEPT,
    events: np.ndarray | None = None,
) -> np.ndarray:
    """Return the component of each voxel.

    Voxels i and j of an event are linked where ``(|x_i - x_j| / reach)^2 + sum_k (|v_ki - v_kj| / d_k)^2 <= 1``.

    Args:
        coordinates: (N, 3) integers.
        reach: distance in voxels, above 0.
        alike: values (N, ...) of the voxels and the distance d_k in each, above 0 and perhaps infinite.
        swept: the longest reach for which neighbours are looked up line by line.
        events: (N,) integers from 0, event of each voxel; None for voxels of one event.

    Returns:
        (N,) int64 numbers from 0 in the order of the first rows.
    """
    alike = [(values, distance) for values, distance in alike if math.isfinite(distance)]
    if not len(coordinates):
        return np.empty(0, np.int64)
    events = np.zeros(len(coordinates), np.int64) if events is None else events
    numbers = voxel_numbers(coordinates, events, math.floor(reach)) if reach <= swept else None
    if numbers is None:
        spaces = ((coordinates, reach), *alike, (events[:, None], 0.5))  # 2 from one event to the next
        return linked_components(np.hstack([values / distance for values, distance in spaces]), 1.0)
    keys, strides = numbers
    order = np.argsort(keys, kind="stable")
    none = np.zeros((len(order), 0), np.float32)
    values = np.hstack([none, *(values / distance for values, distance in alike)])[order]
    parents = np.arange(len(order)).astype(np.int32)
    _sweep(keys[order], values, *_lines(reach, strides), parents)
    roots = np.empty(len(order), np.int64)
    roots[order] = parents
    return in_order_of_rows(roots)


def voxel_numbers(
    coordinates: np.ndarray, events: np.ndarray, longest: int
) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Return the (N,) numbers of voxels, and those between neighbours along the first and the second axis.

    There is room beside each line, plane and event for the ``longest`` link: no number there is that of a voxel
    elsewhere. In images with too many voxels, empty layers thicker than that are made thinner; None where that does not
    help.
    """
    places = np.array(coordinates, np.int64)
    sizes = _from_least(places) + (1 + longest)
    if _too_many(sizes, events):
        places = np.stack([_closed_up(along, longest) for along in places.T], axis=1)
        sizes = _from_least(places) + (1 + longest)
        if _too_many(sizes, events):
            return None
    _, height, width = (int(size) for size in sizes)
    return _numbers(places, events, sizes), (height * width, width)


@compiled
def _from_least(places: np.ndarray) -> np.ndarray:
    """Subtract the least of (N, 3) int64 places along each axis, in place; return the (3,) greatest then."""
    least, greatest = places[0].copy(), places[0].copy()
    for row in range(1, len(places)):
        for axis in range(3):
            least[axis] = min(least[axis], places[row, axis])
            greatest[axis] = max(greatest[axis], places[row, axis])
    places -= least
    return greatest - least


@compiled
def _numbers(places: np.ndarray, events: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the (N,) int64 numbers of voxels in events of (3,) int64 voxels along each axis."""
    numbers = np.empty(len(places), np.int64)
    for row in range(len(places)):
        plane = events[row] * sizes[0] + places[row, 0]
        numbers[row] = (plane * sizes[1] + places[row, 1]) * sizes[2] + places[row, 2]
    return numbers


def _too_many(sizes: np.ndarray, events: np.ndarray) -> bool:
    return (int(events.max()) + 1) * math.prod(map(int, sizes)) >= _LARGEST_IMAGE


def _closed_up(places: np.ndarray, longest: int) -> np.ndarray:
    """Return (N,) places along an axis from 0, with at most ``longest + 1`` from one that occurs to the next."""
    occurring, inverse = np.unique(places, return_inverse=True)
    steps = np.minimum(np.diff(occurring, prepend=occurring[:1]), longest + 1)
    return np.cumsum(steps)[inverse]


def _lines(reach: float, strides: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lines along the last axis on which neighbours with higher numbers lie.

    Returns:
        (L,) int64 steps to the middles of the lines, (L,) int64 how far they go to either side, and (L + 1,) float64
        the squared distances of the middles in units of the reach, and that of a single step; near lines come first.
    """
    longest = math.floor(reach)
    steps, lengths, squares = [], [], []
    for i in range(longest + 1):
        for j in range(-longest if i else 0, longest + 1):
            left = reach * reach - i * i - j * j
            if left >= 0:
                steps.append(i * strides[0] + j * strides[1])
                lengths.append(math.isqrt(math.floor(left)))
                squares.append((i * i + j * j) / (reach * reach))
    order = np.argsort(squares, kind="stable")
    return np.array(steps)[order], np.array(lengths)[order], np.append(np.array(squares)[order], 1 / (reach * reach))


@compiled
def _sweep(
    keys: np.ndarray,
    values: np.ndarray,
    steps: np.ndarray,
    lengths: np.ndarray,
    squares: np.ndarray,
    parents: np.ndarray,
) -> None:
    """Link voxels in ascending order of their numbers, with one pointer for each line that moves along with the voxel.

    Args:
        keys: (N,) int64 ascending.
        values: (N, D) floats in units of their distances.
        steps: as of ``_lines``, like the next.
        lengths: of the lines.
        squares: likewise.
        parents: (N,) int32, written: the roots.
    """
    count, unit = len(keys), squares[-1]
    for line in range(len(steps)):
        begin = 0
        for voxel in range(count):
            middle = keys[voxel] + steps[line]
            low = middle - lengths[line] if steps[line] else middle + 1
            while begin < count and keys[begin] < low:
                begin += 1
            other = begin
            while other < count and keys[other] <= middle + lengths[line]:
                one, two = root(parents, voxel), root(parents, other)
                if one != two:
                    along = keys[other] - middle
                    total = squares[line] + along * along * unit
                    for k in range(values.shape[1]):
                        step = np.float64(values[voxel, k]) - np.float64(values[other, k])
                        total += step * step
                    if total <= 1.0:
                        unite_roots(parents, one, two)
                other += 1
    for voxel in range(count):
        parents[voxel] = root(parents, voxel)
