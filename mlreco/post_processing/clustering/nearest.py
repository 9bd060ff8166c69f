"""The nearest of some places for each of many points."""

from __future__ import annotations

import numpy as np

from mlreco.post_processing.clustering.assign_kernels import assign_voxels
from mlreco.post_processing.clustering.box_tree import build_tree, take_blocks
from mlreco.post_processing.clustering.morton import morton_order


def nearest_places(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return (N,) int32: the row of the place that is nearest to each point, of equally near ones the first.

    Args:
        points: (N, D) finite floats, N > 0.
        places: (K, D) finite floats, K > 0.
    """
    points, places = (np.ascontiguousarray(rows, np.float64) for rows in (points, places))
    order = morton_order(points)
    blocks = take_blocks(points, order)
    return assign_voxels(blocks, build_tree(blocks), order, places, np.ones(len(places)))
