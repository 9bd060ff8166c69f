"""The greedy clusterer of SPICE: instances of one semantic class of one event, from the embedding space."""

from __future__ import annotations

from numbers import Real

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.post_processing.clustering.embedded_voxels import EmbeddedVoxels, checked_arrays
from mlreco.post_processing.settings.parameters import Parameters

UNSEEDED = ("instance", "noise")
NOISE = -1


class GreedyClusterer(Parameters):
    """Greedy clustering of the voxels of one semantic class of one event (Koh et al. 2020, section II.C).

    Until no voxel is left or the best one left has a seediness below ``seed_threshold``: the voxel of highest
    seediness (of equal ones the lowest row) becomes a seed, and every voxel that is left and has ``p >
    probability_threshold`` under the seed's kernel ``p_i = exp(-|e_i - e_seed|^2 / (2 sigma_seed^2))`` joins it and
    can no longer be a seed. At the end *every* voxel, seeds' members and those left over alike, gets the seed of
    highest p (of equal ones the earlier).

    All comparisons are made in float64 on ``-ln p``: nothing underflows, far voxels go to the right seed, and the
    labels do not depend on the machine, on the number of threads or, where seediness values differ, on the order of
    rows.

    A class whose best seediness is below the seed threshold gives one instance around its best voxel: every voxel of
    the class belongs to some particle, and the published rule would leave it without a label. ``unseeded="noise"``
    restores that.

    Args:
        seed_threshold: s0 in [0, 1].
        probability_threshold: p0 in [0, 1); at 0 every voxel joins the first seed.
        min_voxels: instances with fewer voxels become noise (-1); 0 keeps all.
        unseeded: ``instance`` or ``noise``, for a class without a voxel of seediness >= s0.
        refine_seeds: assign all voxels a second time, by the mean embedding and the mean margin of the members that the
            first time gave to each seed: one voxel is a noisy centre of a particle.

    Raises:
        UserError: a threshold out of its range.
    """

    def __init__(
        self,
        seed_threshold: float = 0.5,
        probability_threshold: float = 0.3,
        min_voxels: int = 0,
        unseeded: str = "instance",
        refine_seeds: bool = False,
    ) -> None:
        numbers = {"seed_threshold": seed_threshold, "probability_threshold": probability_threshold}
        for name, value in (numbers | {"min_voxels": min_voxels}).items():
            if isinstance(value, bool) or not isinstance(value, Real):
                raise UserError(f"{name} is {value!r}; a number is needed")
        if not 0 <= seed_threshold <= 1:
            raise UserError(f"seed_threshold is {seed_threshold}; it lies in [0, 1]")
        if not 0 <= probability_threshold < 1:
            raise UserError(f"probability_threshold is {probability_threshold}; it lies in [0, 1)")
        if min_voxels < 0:
            raise UserError(f"min_voxels is {min_voxels}; it is 0 or more")
        if unseeded not in UNSEEDED:
            raise UserError(f"unseeded is '{unseeded}'{nearest(unseeded, UNSEEDED)}")
        self.seed_threshold = seed_threshold
        self.probability_threshold = probability_threshold
        self.min_voxels = min_voxels
        self.unseeded = unseeded
        self.refine_seeds = refine_seeds

    def fit_predict(self, embeddings: np.ndarray, margins: np.ndarray, seediness: np.ndarray) -> np.ndarray:
        """Cluster voxels.

        Args:
            embeddings: (N, D) floats, any D.
            margins: (N,) floats, sigma >= 0; a margin below the smallest normal float32 counts as that.
            seediness: (N,) floats.

        Returns:
            (N,) int32 instance numbers 0 to K - 1 in the order of the seeds, -1 for noise.

        Raises:
            UserError: shapes that do not fit, or a value that is not finite (or beyond float32), or a negative margin.
        """
        embeddings, margins, seediness = checked_arrays(embeddings, margins, seediness)
        if not len(embeddings):
            return np.empty(0, np.int32)
        if self.unseeded == "noise" and seediness.max() < self.seed_threshold:
            return np.full(len(embeddings), NOISE, np.int32)
        voxels = EmbeddedVoxels.build(embeddings, margins, seediness)
        labels = voxels.assign(voxels.seeds(self.seed_threshold, self.probability_threshold))
        if self.refine_seeds:
            labels = _without_gaps(voxels.assign_to_means(_without_gaps(labels)))
        return drop_small(labels, self.min_voxels)


def drop_small(labels: np.ndarray, min_voxels: int) -> np.ndarray:
    """Return labels in which instances under ``min_voxels`` voxels are noise and the others are renumbered from 0."""
    if min_voxels <= 1:
        return labels
    kept = np.bincount(labels) >= min_voxels
    numbers = np.where(kept, np.cumsum(kept) - 1, NOISE).astype(np.int32)
    return numbers[labels]


def _without_gaps(labels: np.ndarray) -> np.ndarray:
    """Return labels without gaps: a seed that equals an earlier one has no members."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)
