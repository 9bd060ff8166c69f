"""Where particles leave the image: the way from the middle of their last voxel to its wall."""

from __future__ import annotations

import numpy as np

from mlreco.particles.trajectory import Trajectories


def way_to_walls(trajectories: Trajectories, low: np.ndarray, high: np.ndarray, voxel_size: np.ndarray) -> np.ndarray:
    """Return how far paths go on from their ends to the wall through which they leave the image.

    A path leaves it if it ends in the outermost layer of voxels and reaches the wall within the length with which it
    crosses a voxel. One that runs along a wall does not, nor a particle without a direction.

    Args:
        trajectories: of K particles.
        low: (K, 3) lowest corner of the image of each, cm.
        high: (K, 3) highest corner, cm.
        voxel_size: (3,) edges of a voxel, cm.

    Returns:
        (K, 2) cm; NaN at ends inside.
    """
    outward = trajectories.outward
    left = np.where(outward > 0, high[:, None] - trajectories.ends, trajectories.ends - low[:, None])
    speed = np.abs(outward)
    way = left / np.where(speed > 0, speed, np.nan)
    crossed = speed @ voxel_size
    leaves = (np.abs(left) < voxel_size) & (way <= crossed[:, :, None])
    leaves &= (trajectories.lengths > 0)[:, None, None]
    nearest = np.where(leaves, way, np.inf).min(axis=2)
    return np.where(np.isfinite(nearest), nearest, np.nan)
