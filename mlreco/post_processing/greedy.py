"""The greedy clusterer of SPICE: instances of one semantic class of one event, read off the embedding space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.post_processing import box_tree, greedy_kernels

LARGEST = float(np.finfo(np.float32).max)
SMALLEST_MARGIN = float(np.finfo(np.float32).tiny)
UNSEEDED = ("instance", "noise")
NOISE = -1


@dataclass(frozen=True)
class EmbeddedVoxels:
    """Voxels of one class of one event in the order of a tree over their embeddings; thresholds play no part in it.

    Attributes:
        order: (N,) int32, row of the input that stands at each position.
        columns: (D, N) float64 embeddings.
        precisions: (N,) float64, ``1 / (2 sigma^2)``.
        seediness: (N,) float64.
        tree: bounds, lows and highs of ``box_tree.build_boxes``.
    """

    order: np.ndarray
    columns: np.ndarray
    precisions: np.ndarray
    seediness: np.ndarray
    tree: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def build(cls, embeddings: np.ndarray, margins: np.ndarray, seediness: np.ndarray) -> EmbeddedVoxels:
        """Order (N, D) embeddings with their (N,) margins and seediness, N > 0 (checked by ``checked_arrays``)."""
        order = box_tree.morton_order(embeddings)
        columns = box_tree.take_columns(embeddings, order)
        precisions = greedy_kernels.take_precisions(margins, order, SMALLEST_MARGIN)
        ordered_seediness = seediness[order].astype(np.float64)
        return cls(order, columns, precisions, ordered_seediness, box_tree.build_boxes(columns))

    def seeds(self, seed_threshold: float, probability_threshold: float) -> np.ndarray:
        """Return the (K,) positions of the seeds, first seed first, the best voxel always among them.

        A higher seed threshold only cuts the end of the list that a lower one gives.
        """
        score = -math.log(probability_threshold) if probability_threshold > 0 else math.inf
        return greedy_kernels.find_seeds(
            self.columns, self.order, self.precisions, self.seediness, self.tree, float(seed_threshold), score
        )

    def assign(self, seeds: np.ndarray) -> np.ndarray:
        """Return (N,) int32: for every row of the input the number of its most probable seed."""
        centres = np.ascontiguousarray(self.columns[:, seeds].T)
        numbers = greedy_kernels.assign_voxels(self.columns, self.tree, centres, self.precisions[seeds])
        labels = np.empty_like(numbers)
        labels[self.order] = numbers
        return labels


class GreedyClusterer:
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

    Raises:
        UserError: a threshold out of its range.
    """

    def __init__(
        self,
        seed_threshold: float = 0.5,
        probability_threshold: float = 0.3,
        min_voxels: int = 0,
        unseeded: str = "instance",
    ) -> None:
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
        return drop_small(labels, self.min_voxels)


def drop_small(labels: np.ndarray, min_voxels: int) -> np.ndarray:
    """Return labels 0 to K - 1 with instances under ``min_voxels`` voxels made noise, the others renumbered."""
    if min_voxels <= 1:
        return labels
    kept = np.bincount(labels) >= min_voxels
    numbers = np.where(kept, np.cumsum(kept) - 1, NOISE).astype(np.int32)
    return numbers[labels]


def checked_arrays(
    embeddings: np.ndarray, margins: np.ndarray, seediness: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the three arrays C-ordered, float32 as such and everything else as float64.

    Raises:
        UserError: as in ``GreedyClusterer.fit_predict``.
    """
    embeddings = _floats(embeddings)
    if embeddings.ndim != 2:
        raise UserError(f"embeddings have shape {embeddings.shape}; (N, D) is needed")
    margins, seediness = _floats(margins), _floats(seediness)
    for name, values in (("margins", margins), ("seediness", seediness)):
        if values.shape != (len(embeddings),):
            raise UserError(f"{name} have shape {values.shape}; one for each of {len(embeddings)} embeddings is needed")
    for name, values, lowest in (
        ("embeddings", embeddings, -LARGEST),
        ("margins", margins, 0.0),
        ("seediness", seediness, -LARGEST),
    ):
        place = greedy_kernels.first_outside(values.ravel(), lowest, LARGEST)
        if place >= 0:
            row = place * len(values) // values.size
            needed = "a finite number that is 0 or more" if name == "margins" else "a finite number"
            raise UserError(f"{name} hold {values.ravel()[place]} in row {row}; {needed} is needed")
    return embeddings, margins, seediness


def _floats(values: np.ndarray) -> np.ndarray:
    """Return values as a C-ordered float32 or float64 array."""
    values = np.asarray(values)
    return np.ascontiguousarray(values, np.float32 if values.dtype == np.float32 else np.float64)
