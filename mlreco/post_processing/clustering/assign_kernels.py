"""Second step of the greedy clusterer: every voxel gets its most probable seed."""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.clustering.box_tree import FAN_OUT, LEAF_SIZE, NO_CHILD, box_distances, leaf_distances


@compiled
def assign_voxels(
    blocks: np.ndarray,
    tree: tuple[np.ndarray, np.ndarray, np.ndarray],
    rows: np.ndarray,
    centres: np.ndarray,
    precisions: np.ndarray,
) -> np.ndarray:
    """Give every voxel the centre of lowest score; of equal ones the first.

    On the way down the tree a node keeps only the centres that may win in its box: those whose lowest score does not
    exceed the smallest of the highest scores.

    Args:
        blocks: (L, D, LEAF_SIZE) float64 embeddings in tree order.
        tree: lows, highs and first_child of ``box_tree.build_tree``.
        rows: (N,) int32, row number of every voxel before it was put in tree order.
        centres: (K, D) float64, K >= 1.
        precisions: (K,) float64, ``1 / (2 sigma^2)`` of the centres.

    Returns:
        (N,) int32 number of the centre of each row.
    """
    lows, highs, first_child = tree
    root = len(first_child) - 1
    depth, leaves_below = 1, 1
    while leaves_below < len(blocks):
        leaves_below *= FAN_OUT
        depth += 1
    candidates = np.empty((depth * FAN_OUT + 1, len(centres)), np.int32)
    counts = np.zeros(len(candidates), np.int64)
    candidates[0] = np.arange(len(centres))
    counts[0] = len(centres)
    near = np.empty(len(centres))
    labels = np.empty(len(rows), np.int32)
    stack = np.empty((len(candidates), 4), np.int64)
    _push(stack, 0, root, 0, 0, leaves_below)
    top = 1
    while top:
        top -= 1
        node, held, first_leaf, span = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
        if counts[held] == 1:
            for position in range(first_leaf * LEAF_SIZE, min((first_leaf + span) * LEAF_SIZE, len(rows))):
                labels[rows[position]] = candidates[held, 0]
        elif first_child[node] == NO_CHILD:
            _closest(blocks, node, centres, precisions, candidates, held, counts[held], rows, labels)
        else:
            slot = (held + FAN_OUT - 1) // FAN_OUT * FAN_OUT + 1
            span //= FAN_OUT
            for child in range(first_child[node], first_child[node] + FAN_OUT):
                if first_leaf < len(blocks):
                    counts[slot] = _filter(
                        candidates, held, counts[held], slot, centres, precisions, lows, highs, child, near
                    )
                    _push(stack, top, child, slot, first_leaf, span)
                    top += 1
                slot += 1
                first_leaf += span
    return labels


@compiled
def _push(stack: np.ndarray, top: int, node: int, held: int, first_leaf: int, span: int) -> None:
    """Write a node, the slot of its candidates, its first leaf and the number of leaves it may have on a stack."""
    stack[top, 0] = node
    stack[top, 1] = held
    stack[top, 2] = first_leaf
    stack[top, 3] = span


@compiled
def _filter(
    candidates: np.ndarray,
    held: int,
    count: int,
    slot: int,
    centres: np.ndarray,
    precisions: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    node: int,
    near: np.ndarray,
) -> int:
    """Write those of the kept candidates that may win in a node's box into another slot and return their number."""
    reach = np.inf
    for index in range(count):
        number = candidates[held, index]
        nearest, farthest = box_distances(centres, number, lows, highs, node)
        near[index] = nearest * precisions[number]
        farthest *= precisions[number]
        reach = farthest if farthest < reach else reach
    kept = 0
    for index in range(count):
        candidates[slot, kept] = candidates[held, index]
        kept += near[index] <= reach
    return kept


@compiled
def _closest(
    blocks: np.ndarray,
    leaf: int,
    centres: np.ndarray,
    precisions: np.ndarray,
    candidates: np.ndarray,
    held: int,
    count: int,
    rows: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Write the best of the kept candidates for each voxel of a leaf into the labels of its rows."""
    squared = np.empty(LEAF_SIZE)
    lowest = np.full(LEAF_SIZE, np.inf)
    winners = np.zeros(LEAF_SIZE, np.int64)
    for index in range(count):
        number = candidates[held, index]
        leaf_distances(centres, number, blocks, leaf, squared)
        precision = precisions[number]
        for slot in range(LEAF_SIZE):
            score = squared[slot] * precision
            closer = score < lowest[slot]
            winners[slot] = number if closer else winners[slot]
            lowest[slot] = score if closer else lowest[slot]
    for position in range(leaf * LEAF_SIZE, min((leaf + 1) * LEAF_SIZE, len(rows))):
        labels[rows[position]] = winners[position - leaf * LEAF_SIZE]
