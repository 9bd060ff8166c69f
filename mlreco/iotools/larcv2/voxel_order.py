"""Numbers of voxels in LArCV2's order and in that of C."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled


def to_c_order(ids: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Renumber voxels from LArCV2's order (x fastest) to C order (z fastest), (N,) int64 each."""
    return _to_c_order(ids.astype(np.uint64), *(np.uint64(size) for size in shape))


@compiled
def _to_c_order(ids: np.ndarray, size_x: np.uint64, size_y: np.uint64, size_z: np.uint64) -> np.ndarray:
    renumbered = np.empty(len(ids), np.int64)
    for row in range(len(ids)):
        rest = ids[row] // size_x
        x = ids[row] - rest * size_x
        z = rest // size_y
        y = rest - z * size_y
        renumbered[row] = (x * size_y + y) * size_z + z
    return renumbered
