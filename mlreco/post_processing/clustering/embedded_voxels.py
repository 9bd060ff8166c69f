"""Voxels of one class of one event in a tree over their embeddings, which serves for any thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.clustering.assign_kernels import assign_voxels
from mlreco.post_processing.clustering.box_tree import LEAF_SIZE, build_tree, take_blocks
from mlreco.post_processing.clustering.morton import morton_order
from mlreco.post_processing.clustering.seed_kernels import find_seeds

LARGEST = float(np.finfo(np.float32).max)
SMALLEST_MARGIN = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class EmbeddedVoxels:
    """Voxels of one class of one event, ready to be clustered with any thresholds.

    Attributes:
        rows: (N,) int32, row of the input that stands at each position of the tree.
        blocks: (L, D, LEAF_SIZE) float64 embeddings in tree order.
        tree: lows, highs and first_child of ``box_tree.build_tree``.
        precisions: (N,) float64 in tree order, ``1 / (2 sigma^2)``.
        seediness: (N,) float64 in tree order.
    """

    rows: np.ndarray
    blocks: np.ndarray
    tree: tuple[np.ndarray, np.ndarray, np.ndarray]
    precisions: np.ndarray
    seediness: np.ndarray

    @classmethod
    def build(cls, embeddings: np.ndarray, margins: np.ndarray, seediness: np.ndarray) -> EmbeddedVoxels:
        """Put voxels into a tree.

        Args:
            embeddings: (N, D) as ``checked_arrays`` returns them, N > 0.
            margins: (N,) likewise; those below the smallest normal float32 count as that.
            seediness: (N,) likewise.
        """
        rows = morton_order(embeddings)
        blocks = take_blocks(embeddings, rows)
        widths = np.maximum(margins[rows].astype(np.float64), SMALLEST_MARGIN)
        precisions = 0.5 / (widths * widths)
        return cls(rows, blocks, build_tree(blocks), precisions, seediness[rows].astype(np.float64))

    def seeds(self, seed_threshold: float, probability_threshold: float) -> np.ndarray:
        """Return the (K,) positions of the seeds, the first seed first; the best voxel is always one of them.

        The list for a higher seed threshold is the beginning of that for a lower one.
        """
        highest = -math.log(probability_threshold) if probability_threshold > 0 else math.inf
        return find_seeds(
            self.blocks, self.tree, self.rows, self.precisions, self.seediness, float(seed_threshold), highest
        )

    def assign(self, seeds: np.ndarray) -> np.ndarray:
        """Return (N,) int32: for every row of the input the number of its most probable seed."""
        centres = np.ascontiguousarray(self.blocks[seeds // LEAF_SIZE, :, seeds % LEAF_SIZE])
        return assign_voxels(self.blocks, self.tree, self.rows, centres, self.precisions[seeds])

    def assign_to_means(self, labels: np.ndarray) -> np.ndarray:
        """Return (N,) int32: for every row the most probable instance, under kernels of the instances' members.

        The kernel of an instance has the mean embedding and the mean margin of the voxels with its label, instead of
        those of its seed.

        Args:
            labels: (N,) number of the instance of each row of the input; each number up to the highest occurs.
        """
        members = labels[self.rows]
        sizes = np.bincount(members)
        embeddings = self.blocks.transpose(0, 2, 1).reshape(-1, self.blocks.shape[1])[: len(members)]
        centres = np.stack([np.bincount(members, axis) for axis in embeddings.T], axis=1) / sizes[:, None]
        margins = np.bincount(members, np.sqrt(0.5 / self.precisions)) / sizes
        return assign_voxels(self.blocks, self.tree, self.rows, centres, 0.5 / (margins * margins))


def checked_arrays(
    embeddings: np.ndarray, margins: np.ndarray, seediness: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (N, D) embeddings, (N,) margins and (N,) seediness C-ordered; float32 stays, other types become float64.

    Raises:
        UserError: shapes that do not fit, a value that is not finite (or beyond float32), or a negative margin.
    """
    embeddings, margins, seediness = _floats(embeddings), _floats(margins), _floats(seediness)
    if embeddings.ndim != 2:
        raise UserError(f"embeddings have shape {embeddings.shape}; (N, D) is needed")
    for name, values in (("margins", margins), ("seediness", seediness)):
        if values.shape != (len(embeddings),):
            raise UserError(f"{name} have shape {values.shape}; one for each of {len(embeddings)} embeddings is needed")
    for name, values in (("embeddings", embeddings), ("margins", margins), ("seediness", seediness)):
        if values.size and not np.abs(values).max() <= LARGEST:
            place = int(np.argmax(~(np.abs(values).ravel() <= LARGEST)))
            _refuse(name, values, place, "a finite number")
    if len(margins) and margins.min() < 0:
        _refuse("margins", margins, int(np.argmin(margins)), "a number that is 0 or more")
    return embeddings, margins, seediness


def _refuse(name: str, values: np.ndarray, place: int, needed: str) -> None:
    row = place * len(values) // values.size
    raise UserError(f"{name} hold {values.ravel()[place]} in row {row}; {needed} is needed")


def _floats(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    return np.ascontiguousarray(values, np.float32 if values.dtype == np.float32 else np.float64)
