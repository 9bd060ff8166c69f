"""The two steps of the greedy clusterer on a tree of boxes: find the seeds, then give every voxel its best seed.

Probabilities are compared through ``score = |e_i - mu|^2 * 1 / (2 sigma^2) = -ln p`` in float64, summed axis after
axis: small is probable and nothing underflows.
"""

from __future__ import annotations

import numba
import numpy as np

from mlreco.post_processing.box_tree import LEAF_SIZE, box_distances

NONE = -1


@numba.njit(cache=True, nogil=True)
def first_outside(values: np.ndarray, lowest: float, highest: float) -> int:
    """Return the place of the first of (N,) values that is NaN or outside ``[lowest, highest]``, or -1."""
    for place in range(len(values)):
        if not lowest <= values[place] <= highest:
            return place
    return -1


@numba.njit(cache=True, nogil=True)
def take_precisions(margins: np.ndarray, order: np.ndarray, smallest_margin: float) -> np.ndarray:
    """Return ``1 / (2 sigma^2)`` in another order, float64, with margins raised to the smallest one."""
    precisions = np.empty(len(order))
    for position in range(len(order)):
        width = max(np.float64(margins[order[position]]), smallest_margin)
        precisions[position] = 0.5 / (width * width)
    return precisions


@numba.njit(cache=True, nogil=True)
def _better(first: int, second: int, seediness: np.ndarray, rows: np.ndarray) -> int:
    """Return the one of two positions that seeds earlier: higher seediness, then lower row; NONE loses."""
    if first == NONE or second == NONE:
        return max(first, second)
    if seediness[first] == seediness[second]:
        return first if rows[first] < rows[second] else second
    return first if seediness[first] > seediness[second] else second


@numba.njit(cache=True, nogil=True)
def _first_seeds(bounds: np.ndarray, seediness: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return for every node of the tree the position of its best seed while no voxel is taken."""
    leaves = len(bounds) - 1
    best = np.full(2 * leaves - 1, NONE, np.int64)
    for leaf in range(leaves):
        for position in range(bounds[leaf], bounds[leaf + 1]):
            best[leaves - 1 + leaf] = _better(best[leaves - 1 + leaf], position, seediness, rows)
    for node in range(leaves - 2, -1, -1):
        best[node] = _better(best[2 * node + 1], best[2 * node + 2], seediness, rows)
    return best


@numba.njit(cache=True, nogil=True)
def find_seeds(
    columns: np.ndarray,
    rows: np.ndarray,
    precisions: np.ndarray,
    seediness: np.ndarray,
    tree: tuple[np.ndarray, np.ndarray, np.ndarray],
    lowest_seediness: float,
    highest_score: float,
) -> np.ndarray:
    """Take the best voxel that is left as a seed, let all that are near enough join it, and so on.

    A node whose farthest place is near enough is taken as a whole; one whose nearest place is not is passed over.

    Args:
        columns: (D, N) float64 embeddings in tree order.
        rows: (N,) int32, row number of every voxel before it was put in tree order.
        precisions: (N,) float64, ``1 / (2 sigma^2)``.
        seediness: (N,) float64.
        tree: bounds, lows and highs of ``box_tree.build_boxes``.
        lowest_seediness: s0; no voxel below it is a seed, except the very first.
        highest_score: ``-ln p0`` > 0; a voxel joins where its score is below.

    Returns:
        (K,) int64 positions of the seeds in tree order, first seed first; K >= 1.
    """
    bounds, lows, highs = tree
    best = _first_seeds(bounds, seediness, rows)
    taken = np.zeros(columns.shape[1], np.bool_)
    visited = np.empty(len(best), np.int64)
    centre = np.empty((1, columns.shape[0]))
    seeds = np.empty(64, np.int64)
    count = 0
    while best[0] != NONE and (count == 0 or seediness[best[0]] >= lowest_seediness):
        seed = best[0]
        if count == len(seeds):
            seeds = np.concatenate((seeds, np.empty_like(seeds)))
        seeds[count] = seed
        count += 1
        centre[0] = columns[:, seed]
        visited[0] = 0
        head, tail = 0, 1
        while head < tail:
            node = visited[head]
            head += 1
            near, far = box_distances(centre, 0, lows, highs, node)
            if near * precisions[seed] >= highest_score:
                continue
            if far * precisions[seed] < highest_score:
                best[node] = NONE
            elif node < len(bounds) - 2:
                for child in (2 * node + 1, 2 * node + 2):
                    if best[child] != NONE:
                        visited[tail] = child
                        tail += 1
            else:
                start, stop = bounds[node - len(bounds) + 2], bounds[node - len(bounds) + 3]
                best[node] = NONE
                for position in range(start, stop):
                    if not taken[position]:
                        squared = 0.0
                        for axis in range(len(columns)):
                            difference = columns[axis, position] - centre[0, axis]
                            squared += difference * difference
                        if squared * precisions[seed] < highest_score:
                            taken[position] = True
                        else:
                            best[node] = _better(best[node], position, seediness, rows)
        for index in range(tail - 1, -1, -1):
            node = visited[index]
            if node < len(bounds) - 2 and best[node] != NONE:
                best[node] = _better(best[2 * node + 1], best[2 * node + 2], seediness, rows)
    return seeds[:count].copy()


@numba.njit(cache=True, nogil=True)
def assign_voxels(
    columns: np.ndarray,
    tree: tuple[np.ndarray, np.ndarray, np.ndarray],
    centres: np.ndarray,
    precisions: np.ndarray,
) -> np.ndarray:
    """Give every voxel the centre of lowest score; of equal ones the first.

    On the way down the tree a node keeps only the centres that may win in its box: those whose lowest score does not
    exceed the smallest of the highest scores.

    Args:
        columns: (D, N) float64 embeddings in tree order.
        tree: bounds, lows and highs of ``box_tree.build_boxes``.
        centres: (K, D) float64, K >= 1.
        precisions: (K,) float64, ``1 / (2 sigma^2)`` of the centres.

    Returns:
        (N,) int32 number of the centre, in tree order.
    """
    bounds, lows, highs = tree
    leaves = len(bounds) - 1
    depth = 1
    while 1 << (depth - 1) < leaves:
        depth += 1
    candidates = np.empty((depth + 1, len(centres)), np.int32)
    counts = np.zeros(depth + 1, np.int64)
    candidates[0] = np.arange(len(centres))
    counts[0] = len(centres)
    nearest = np.empty(len(centres))
    block = np.zeros((len(columns), LEAF_SIZE))
    labels = np.empty(columns.shape[1], np.int32)
    stack = np.empty((depth + 1, 2), np.int64)
    stack[0] = 0, 1
    top = 1
    while top:
        top -= 1
        node, level = stack[top]
        counts[level] = _keep_candidates(
            candidates[level - 1, : counts[level - 1]],
            candidates[level],
            centres,
            precisions,
            lows,
            highs,
            node,
            nearest,
        )
        if counts[level] > 1 and node < leaves - 1:
            for child in (2 * node + 2, 2 * node + 1):
                stack[top] = child, level + 1
                top += 1
            continue
        first = last = node
        while first < leaves - 1:
            first, last = 2 * first + 1, 2 * last + 2
        start, stop = bounds[first - leaves + 1], bounds[last - leaves + 2]
        if counts[level] == 1:
            labels[start:stop] = candidates[level, 0]
        else:
            block[:, : stop - start] = columns[:, start:stop]
            winners = _closest(block, centres, precisions, candidates[level, : counts[level]])
            labels[start:stop] = winners[: stop - start]
    return labels


@numba.njit(cache=True, nogil=True)
def _keep_candidates(
    above: np.ndarray,
    kept: np.ndarray,
    centres: np.ndarray,
    precisions: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    node: int,
    nearest: np.ndarray,
) -> int:
    """Write those of the candidates above that may win in a node's box into kept and return their number."""
    reach = np.inf
    for index in range(len(above)):
        centre = above[index]
        near, far = box_distances(centres, centre, lows, highs, node)
        nearest[index] = near * precisions[centre]
        farthest = far * precisions[centre]
        reach = farthest if farthest < reach else reach
    count = 0
    for index in range(len(above)):
        kept[count] = above[index]
        count += nearest[index] <= reach
    return count


@numba.njit(cache=True, nogil=True)
def _closest(block: np.ndarray, centres: np.ndarray, precisions: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return the best of the candidates for each voxel of a leaf; (D, LEAF_SIZE), a fixed length for the loops."""
    scores = np.empty(LEAF_SIZE)
    lowest = np.full(LEAF_SIZE, np.inf)
    winners = np.empty(LEAF_SIZE, np.int32)
    for centre in candidates:
        for index in range(LEAF_SIZE):
            scores[index] = 0.0
        for axis in range(len(block)):
            middle = centres[centre, axis]
            for index in range(LEAF_SIZE):
                difference = block[axis, index] - middle
                scores[index] += difference * difference
        for index in range(LEAF_SIZE):
            score = scores[index] * precisions[centre]
            closer = score < lowest[index]
            winners[index] = centre if closer else winners[index]
            lowest[index] = score if closer else lowest[index]
    return winners
