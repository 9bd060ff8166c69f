"""Which fragments are compared: those near each other, and all with the large fragments of showers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.approach import closest_approach
from mlreco.post_processing.fragment_graph.blocks import FragmentVoxels, whole_boxes


class Reach(NamedTuple):
    """Distances up to which a fragment is compared with a larger one, in voxels between their nearest voxels.

    Attributes:
        near: distance for any two fragments.
        far: distance to a large fragment.
        large: voxels from which a fragment is large.
        trunk: voxels from which a fragment of a class that radiates is in reach of every smaller one, however far.
        most: partners beyond ``near`` that a fragment has at most: those with the least distance for their size
            (distance over cube root of voxels) between the boxes around them.
        foreign: how many times as far a partner of another class counts among these.
    """

    near: float = 4.0
    far: float = 25.0
    large: int = 10
    trunk: int = 20
    most: int = 10
    foreign: float = 2.0


class Pairs(NamedTuple):
    """Pairs in reach.

    Attributes:
        fragments: (E, 2) int64 numbers of the fragments, the one with more voxels first, of equals the lower number.
        places: (E, 2) int64 places of the nearest voxels.
        gaps: (E,) float64 their distance.
    """

    fragments: np.ndarray
    places: np.ndarray
    gaps: np.ndarray


def pairs_in_reach(voxels: FragmentVoxels, classes: np.ndarray, radiating: np.ndarray, reach: Reach) -> Pairs:
    """Return the pairs of fragments that are in reach of each other.

    Args:
        voxels: the fragments.
        classes: (F,) integers, class in which each fragment was made.
        radiating: (F,) bool, whether a fragment is of a class that radiates, whose instances have detached parts.
        reach: the distances.
    """
    sizes = voxels.sizes
    order = np.argsort(-sizes, kind="stable")
    lows, highs = whole_boxes(voxels.boxes.first_super, voxels.boxes.super_lows, voxels.boxes.super_highs)
    axis_by_axis = np.ascontiguousarray(lows[order].T), np.ascontiguousarray(highs[order].T)
    fragments = _candidates(*axis_by_axis, sizes[order], classes[order], radiating[order], order, reach)
    places, gaps = closest_approach(voxels, fragments)
    return Pairs(*_kept(fragments, places, gaps, sizes, radiating, reach))


@compiled
def _kept(
    fragments: np.ndarray,
    places: np.ndarray,
    gaps: np.ndarray,
    sizes: np.ndarray,
    radiating: np.ndarray,
    reach: Reach,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the candidates whose nearest voxels are in reach, compacted in place."""
    filled = 0
    for row in range(len(gaps)):
        larger = fragments[row, 0]
        limit = max(reach.near, reach.far) if sizes[larger] >= reach.large else reach.near
        if gaps[row] <= limit or (sizes[larger] >= reach.trunk and radiating[larger]):
            for side in range(2):
                fragments[filled, side], places[filled, side] = fragments[row, side], places[row, side]
            gaps[filled] = gaps[row]
            filled += 1
    return fragments[:filled], places[:filled], gaps[:filled]


@compiled
def _candidates(
    lows: np.ndarray,
    highs: np.ndarray,
    sizes: np.ndarray,
    classes: np.ndarray,
    radiating: np.ndarray,
    numbers: np.ndarray,
    reach: Reach,
) -> np.ndarray:
    """Return the (E, 2) numbers of the fragments, the larger first, whose boxes are in reach.

    Args:
        lows: (3, F) low ends of the boxes, the fragments by falling size.
        highs: (3, F) high ends, like all others in the same order.
        sizes: (F,) voxels.
        classes: (F,) class.
        radiating: (F,) bool.
        numbers: (F,) numbers of the fragments.
        reach: the distances.
    """
    count, gaps, widths = len(sizes), np.empty(len(sizes)), sizes ** (2 / 3)
    near, far = reach.near * reach.near, max(reach.near, reach.far) ** 2
    partners, remoteness = np.empty(count, np.int64), np.empty(count)
    pairs, filled = np.empty((16 * count + 16, 2), np.int64), 0
    for smaller in range(count):
        close, distant = 0, 0
        if len(pairs) < filled + smaller:
            longer = np.empty((2 * (filled + smaller), 2), np.int64)
            longer[:filled] = pairs[:filled]
            pairs = longer
        _box_gaps(lows, highs, smaller, gaps)
        for larger in range(smaller):
            gap = gaps[larger]
            if gap <= near:
                pairs[filled + close, 0], pairs[filled + close, 1] = numbers[larger], numbers[smaller]
                close += 1
            elif (gap <= far and sizes[larger] >= reach.large) or (sizes[larger] >= reach.trunk and radiating[larger]):
                partners[distant] = larger
                factor = 1.0 if classes[larger] == classes[smaller] else reach.foreign * reach.foreign
                remoteness[distant] = gap * factor / widths[larger]
                distant += 1
        filled += close
        limit, left = _least(remoteness[:distant], reach.most)
        for place in range(distant):
            if remoteness[place] > limit or (remoteness[place] == limit and left == 0):
                continue
            left -= remoteness[place] == limit
            pairs[filled, 0], pairs[filled, 1] = numbers[partners[place]], numbers[smaller]
            filled += 1
    return pairs[:filled]


@compiled
def _least(values: np.ndarray, most: int) -> tuple[float, int]:
    """Return the largest of the ``most`` smallest values, and how many of these are equal to it."""
    if most == 0:
        return -np.inf, 0
    if len(values) <= most:
        return np.inf, 0
    least = np.full(most, np.inf)
    for value in values:
        place = most - 1
        if value >= least[place]:
            continue
        while place > 0 and least[place - 1] > value:
            least[place] = least[place - 1]
            place -= 1
        least[place] = value
    equal = 0
    for value in least:
        equal += value == least[most - 1]
    return least[most - 1], equal


@compiled
def _box_gaps(lows: np.ndarray, highs: np.ndarray, one: int, gaps: np.ndarray) -> None:
    """Write the squared distances of a box from all before it; there is no inner loop, so it is vectorised."""
    x, y, z = lows[0], lows[1], lows[2]
    high_x, high_y, high_z = highs[0], highs[1], highs[2]
    for other in range(one):
        below, above = x[one] - high_x[other], x[other] - high_x[one]
        gap = below if below > above else above
        total = gap * gap if gap > 0.0 else 0.0
        below, above = y[one] - high_y[other], y[other] - high_y[one]
        gap = below if below > above else above
        total += gap * gap if gap > 0.0 else 0.0
        below, above = z[one] - high_z[other], z[other] - high_z[one]
        gap = below if below > above else above
        total += gap * gap if gap > 0.0 else 0.0
        gaps[other] = total
