"""The lines along which particles start, tracks and showers alike, as vertices are found from them."""

from __future__ import annotations

import numpy as np

from mlreco.particles.directions import WITHIN, StartLines
from mlreco.particles.kinds import Kind
from mlreco.particles.scattering import scattering_of_likely
from mlreco.particles.showers import ShowerStarts
from mlreco.particles.stopping import StoppingLikelihood
from mlreco.particles.trajectory import Trajectories
from mlreco.particles.vertices import ALONG, StartingLines


def starting_lines(
    kinds: np.ndarray,
    backward: np.ndarray,
    first: StartLines,
    trajectories: Trajectories,
    stopping: StoppingLikelihood,
    showers: ShowerStarts,
    shower_errors: np.ndarray,
    voxel: float,
) -> StartingLines:
    """Return the lines along which K particles start. Those of showers pass the voxel in which they start.

    Args:
        kinds: (K,) `Kind` of each.
        backward: (K,) bool: it moves from the second end of its path to the first (of a shower: in the second sense).
        first: lines fitted to the first centimetres of the paths.
        trajectories: the paths.
        stopping: likelihood of their steps, which tells how much tracks scatter.
        showers: starts of showers in both senses.
        shower_errors: (K,) angle within which 68 % of the directions of showers are, rad.
        voxel: greatest edge of a voxel, cm.
    """
    rows, side = np.arange(len(kinds)), backward.astype(np.int64)
    is_shower, has_line = kinds == Kind.SHOWER, np.isfinite(first.directions).all(axis=1)
    points = np.where(has_line[:, None], first.points, trajectories.ends[rows, side])
    ranges, origin = trajectories.lengths[:, None] + stopping.left(backward), np.zeros(len(kinds))
    scattered = scattering_of_likely(ranges, origin, first.lengths, first.shifted, stopping.proton(backward))
    return StartingLines(
        np.where(is_shower[:, None], showers.positions[rows, side], points),
        np.where(is_shower[:, None], showers.directions[rows, side], first.directions),
        np.where(is_shower, voxel, np.hypot(first.aside, np.nan_to_num(scattered))),
        np.where(is_shower, np.inf, ALONG * voxel),
        np.where(is_shower, np.nan_to_num(shower_errors, nan=np.pi / 2) / WITHIN, 0.0),
    )
