"""First step of the greedy clusterer: which voxels are seeds."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.clustering.box_tree import FAN_OUT, LEAF_SIZE, NO_CHILD, box_distances, leaf_distances

NONE = -1


@compiled
def _better(first: int, second: int, seediness: np.ndarray, rows: np.ndarray) -> int:
    """Return the one of two positions that becomes a seed first: higher seediness, then lower row; NONE comes last."""
    if first == NONE or second == NONE:
        return max(first, second)
    if seediness[first] == seediness[second]:
        return first if rows[first] < rows[second] else second
    return first if seediness[first] > seediness[second] else second


@compiled
def _best_child(best: np.ndarray, first: int, seediness: np.ndarray, rows: np.ndarray) -> int:
    found = NONE
    for child in range(first, first + FAN_OUT):
        found = _better(found, best[child], seediness, rows)
    return found


@compiled
def _best_left(taken: np.ndarray, leaf: int, seediness: np.ndarray, rows: np.ndarray) -> int:
    found = NONE
    for position in range(leaf * LEAF_SIZE, min((leaf + 1) * LEAF_SIZE, len(rows))):
        if not taken[leaf, position - leaf * LEAF_SIZE]:
            found = _better(found, position, seediness, rows)
    return found


@compiled
def _take_near(
    blocks: np.ndarray,
    tree: tuple[np.ndarray, np.ndarray, np.ndarray],
    centre: np.ndarray,
    highest_score: float,
    precision: float,
    taken: np.ndarray,
    best: np.ndarray,
    opened: np.ndarray,
    squared: np.ndarray,
) -> int:
    """Take all voxels near enough to a seed; return the number of opened nodes, whose best voxel must be found again.

    Args:
        blocks: as of ``find_seeds``, like the tree.
        tree: the boxes.
        centre: (1, D) float64, where the seed is.
        highest_score: a voxel joins where its score is below.
        precision: what a squared distance is multiplied by to be a score.
        taken: (L, LEAF_SIZE) bool, written in the leaves that are opened.
        best: best voxel that is left in each node; NONE is written where a node is taken as a whole.
        opened: written, the nodes that were opened, parents before their children.
        squared: (LEAF_SIZE,) float64 to write on.
    """
    lows, highs, first_child = tree
    opened[0] = len(first_child) - 1
    done, end = 0, 1
    while done < end:
        node = opened[done]
        done += 1
        if first_child[node] == NO_CHILD:
            leaf_distances(centre, 0, blocks, node, squared)
            for slot in range(LEAF_SIZE):
                taken[node, slot] |= squared[slot] * precision < highest_score
            continue
        for child in range(first_child[node], first_child[node] + FAN_OUT):
            if best[child] == NONE:
                continue
            near, far = box_distances(centre, 0, lows, highs, child)
            if far * precision < highest_score:
                best[child] = NONE
            elif near * precision < highest_score:
                opened[end] = child
                end += 1
    return end


@compiled
def find_seeds(
    blocks: np.ndarray,
    tree: tuple[np.ndarray, np.ndarray, np.ndarray],
    rows: np.ndarray,
    precisions: np.ndarray,
    seediness: np.ndarray,
    lowest_seediness: float,
    highest_score: float,
) -> np.ndarray:
    """Take the best voxel that is left as a seed, let all that are near enough join it, and so on.

    Every node knows the best voxel that is left in it. A node whose farthest place is near enough is taken as a whole,
    one whose nearest place is too far is skipped, and others are opened.

    Args:
        blocks: (L, D, LEAF_SIZE) float64 embeddings in tree order.
        tree: lows, highs and first_child of ``box_tree.build_tree``.
        rows: (N,) int32, row number of every voxel before it was put in tree order.
        precisions: (N,) float64, ``1 / (2 sigma^2)``.
        seediness: (N,) float64.
        lowest_seediness: s0; no voxel below it is a seed, except the very first.
        highest_score: ``-ln p0`` > 0; a voxel joins where its score is below.

    Returns:
        (K,) int64 positions of the seeds in tree order, first seed first; K >= 1.
    """
    first_child = tree[2]
    root = len(first_child) - 1
    taken = np.zeros((len(blocks), LEAF_SIZE), np.bool_)
    best = np.full(len(first_child), NONE, np.int64)
    for node in range(len(best)):
        if first_child[node] != NO_CHILD:
            best[node] = _best_child(best, first_child[node], seediness, rows)
        elif node < len(blocks):
            best[node] = _best_left(taken, node, seediness, rows)
    opened = np.empty(len(best), np.int64)
    squared = np.empty(LEAF_SIZE)
    centre = np.empty((1, blocks.shape[1]))
    seeds = np.empty(len(rows), np.int64)
    count = 0
    while best[root] != NONE and (count == 0 or seediness[best[root]] >= lowest_seediness):
        seed = best[root]
        seeds[count] = seed
        count += 1
        for axis in range(blocks.shape[1]):
            centre[0, axis] = blocks[seed // LEAF_SIZE, axis, seed % LEAF_SIZE]
        end = _take_near(blocks, tree, centre, highest_score, precisions[seed], taken, best, opened, squared)
        for index in range(end - 1, -1, -1):
            node = opened[index]
            if first_child[node] != NO_CHILD:
                best[node] = _best_child(best, first_child[node], seediness, rows)
            elif taken[node, best[node] % LEAF_SIZE]:
                best[node] = _best_left(taken, node, seediness, rows)
    return seeds[:count].copy()
