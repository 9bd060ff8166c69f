"""What a threshold search works on: voxels of one class of one event, with their truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlreco.post_processing.clustering.box_tree import LEAF_SIZE
from mlreco.post_processing.clustering.embedded_voxels import EmbeddedVoxels, checked_arrays
from mlreco.post_processing.contingency import Contingency
from mlreco.post_processing.tuning.nested_kernel import nested_labels
from mlreco.post_processing.tuning.truth import Truth

Metric = Callable[[Contingency], float]


@dataclass(frozen=True)
class ClassSample:
    """Voxels of one class of one event, ready to be clustered with any thresholds and compared with the truth.

    Attributes:
        voxels: all voxels of the class.
        truth: those of them that count.
    """

    voxels: EmbeddedVoxels
    truth: Truth

    @classmethod
    def build(cls, embeddings: np.ndarray, margins: np.ndarray, seediness: np.ndarray, truth: Truth) -> ClassSample:
        """Put the voxels into a tree.

        Args:
            embeddings: (N, D) floats, N > 0.
            margins: (N,) floats.
            seediness: (N,) floats.
            truth: their true instances.

        Raises:
            UserError: arrays that ``checked_arrays`` refuses.
        """
        return cls(EmbeddedVoxels.build(*checked_arrays(embeddings, margins, seediness)), truth)

    def scores(self, metric: Metric, seeds: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Return the (S, P) values of a metric for every pair of thresholds.

        A seed list is found once for each p0, at the lowest s0; a higher s0 takes a shorter beginning of it. Labels
        and metric are computed once for each length that occurs.

        Args:
            metric: function of a contingency table.
            seeds: (S,) ascending values of s0.
            probabilities: (P,) values of p0.
        """
        values = np.empty((len(seeds), len(probabilities)))
        for column, probability in enumerate(probabilities):
            found = self.voxels.seeds(float(seeds[0]), float(probability))
            lengths = _lengths(self.voxels.seediness[found], seeds)
            distinct, which = np.unique(lengths, return_inverse=True)
            labels = self._labels(found[: distinct[-1]], distinct)
            tables = (self.truth.table(row, int(length)) for row, length in zip(labels, distinct, strict=True))
            values[:, column] = np.array([metric(table) for table in tables])[which]
        return values

    def _labels(self, seeds: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        voxels = self.voxels
        centres = np.ascontiguousarray(voxels.blocks[seeds // LEAF_SIZE, :, seeds % LEAF_SIZE])
        return nested_labels(voxels.blocks, voxels.tree, voxels.rows, centres, voxels.precisions[seeds], lengths)


def _lengths(seediness: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return for each s0 how many of the seeds, of descending seediness, stay; the first always does."""
    return np.maximum(len(seediness) - np.searchsorted(seediness[::-1], thresholds, side="left"), 1)
