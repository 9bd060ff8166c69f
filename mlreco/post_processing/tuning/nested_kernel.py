"""Labels of the greedy clusterer for a growing list of seeds, all points of one column of a grid search at once."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.clustering.box_tree import LEAF_SIZE, box_distances, leaf_distances


@compiled
def nested_labels(
    blocks: np.ndarray,
    tree: tuple[np.ndarray, np.ndarray, np.ndarray],
    rows: np.ndarray,
    centres: np.ndarray,
    precisions: np.ndarray,
    lengths: np.ndarray,
) -> np.ndarray:
    """Give every voxel the centre of lowest score among the first so many, for several such numbers.

    Row ``i`` is what ``assign_kernels.assign_voxels`` gives for the first ``lengths[i]`` centres. A centre is compared
    once, and only with the leaves that it can win a voxel in.

    Args:
        blocks: (L, D, LEAF_SIZE) float64 embeddings in tree order.
        tree: lows, highs and first_child of ``box_tree.build_tree``.
        rows: (N,) int32, row number of every voxel before it was put in tree order.
        centres: (K, D) float64, in the order of the seeds.
        precisions: (K,) float64, ``1 / (2 sigma^2)`` of the centres.
        lengths: (S,) int64, ascending, each from 1 to K.

    Returns:
        (S, N) int32 number of the centre of each row.
    """
    lows, highs, _ = tree
    winners = np.zeros((len(blocks), LEAF_SIZE), np.int32)
    lowest = np.full((len(blocks), LEAF_SIZE), np.inf)
    reach = np.full(len(blocks), np.inf)
    squared = np.empty(LEAF_SIZE)
    labels = np.empty((len(lengths), len(rows)), np.int32)
    done = 0
    for step in range(len(lengths)):
        for number in range(done, lengths[step]):
            precision = precisions[number]
            for leaf in range(len(blocks)):
                near, _ = box_distances(centres, number, lows, highs, leaf)
                if near * precision >= reach[leaf]:
                    continue
                leaf_distances(centres, number, blocks, leaf, squared)
                highest = 0.0
                for slot in range(LEAF_SIZE):
                    score = squared[slot] * precision
                    closer = score < lowest[leaf, slot]
                    winners[leaf, slot] = number if closer else winners[leaf, slot]
                    lowest[leaf, slot] = score if closer else lowest[leaf, slot]
                    highest = lowest[leaf, slot] if lowest[leaf, slot] > highest else highest
                reach[leaf] = highest
        done = lengths[step]
        for position in range(len(rows)):
            labels[step, rows[position]] = winners[position // LEAF_SIZE, position % LEAF_SIZE]
    return labels
