"""Which fragments are compared: those near each other, and every one with the large ones of showers, however far."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.approach import closest_approach
from mlreco.post_processing.fragment_graph.blocks import FragmentVoxels, box_gap, whole_boxes


class Reach(NamedTuple):
    """Up to where a fragment is compared with a larger one; distances in voxels between their nearest voxels.

    Attributes:
        near: distance for any two fragments.
        far: distance to a large fragment.
        large: voxels from which a fragment is large.
        trunk: voxels from which a fragment of a class that radiates is in reach of every smaller one, however far.
        most: partners beyond ``near`` that a fragment has at most: those with the least distance for their size
            (distance over cube root of voxels) between the boxes around them.
    """

    near: float = 4.0
    far: float = 25.0
    large: int = 10
    trunk: int = 20
    most: int = 16


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


def pairs_in_reach(voxels: FragmentVoxels, radiating: np.ndarray, reach: Reach) -> Pairs:
    """Return the pairs of fragments that are in reach of each other.

    Args:
        voxels: the fragments.
        radiating: (F,) bool, whether a fragment is of a class that radiates: its instances fall into detached parts.
        reach: the distances.
    """
    sizes = voxels.sizes
    order = np.argsort(-sizes, kind="stable")
    lows, highs = whole_boxes(voxels.first_super, voxels.super_lows, voxels.super_highs)
    candidates = _candidates(lows[order], highs[order], sizes[order], radiating[order], reach)
    fragments = order[candidates]
    places, gaps = closest_approach(voxels, fragments)
    large = sizes[fragments[:, 0]] >= reach.large
    unlimited = (sizes[fragments[:, 0]] >= reach.trunk) & radiating[fragments[:, 0]]
    kept = unlimited | (gaps <= np.where(large, max(reach.near, reach.far), reach.near))
    return Pairs(fragments[kept], places[kept], gaps[kept])


@compiled
def _candidates(
    lows: np.ndarray, highs: np.ndarray, sizes: np.ndarray, radiating: np.ndarray, reach: Reach
) -> np.ndarray:
    """Return the (E, 2) pairs of positions, the larger first, whose boxes are in reach; fragments by falling size."""
    count = len(sizes)
    near, far = reach.near * reach.near, max(reach.near, reach.far) ** 2
    partners, remoteness = np.empty(count, np.int64), np.empty(count)
    pairs, filled = np.empty((16 * count + 16, 2), np.int64), 0
    for smaller in range(count):
        close, distant = 0, 0
        if len(pairs) < filled + smaller:
            longer = np.empty((2 * (filled + smaller), 2), np.int64)
            longer[:filled] = pairs[:filled]
            pairs = longer
        for larger in range(smaller):
            gap = box_gap(lows, highs, larger, lows, highs, smaller)
            if gap <= near:
                pairs[filled + close, 0], pairs[filled + close, 1] = larger, smaller
                close += 1
            elif (gap <= far and sizes[larger] >= reach.large) or (sizes[larger] >= reach.trunk and radiating[larger]):
                partners[distant] = larger
                remoteness[distant] = gap / sizes[larger] ** (2 / 3)
                distant += 1
        filled += close
        chosen = partners[:distant]
        if distant > reach.most:
            chosen = np.sort(chosen[np.argsort(remoteness[:distant], kind="mergesort")[: reach.most]])
        for larger in chosen:
            pairs[filled, 0], pairs[filled, 1] = larger, smaller
            filled += 1
    return pairs[:filled]
