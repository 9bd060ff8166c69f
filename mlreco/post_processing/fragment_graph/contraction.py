"""Contraction of a graph: the edges between groups of nodes, with the means of the edges between their members."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled


class Contraction(NamedTuple):
    """Pairs of groups with edges between them, in ascending order.

    Attributes:
        pairs: (P, 2) int64 numbers of two groups.
        means: (P,) float64 weighted mean of the scores of the edges between them.
        weights: (P,) float64 sum of the weights of these edges.
    """

    pairs: np.ndarray
    means: np.ndarray
    weights: np.ndarray


def contract(first: np.ndarray, second: np.ndarray, scores: np.ndarray, weights: np.ndarray, count: int) -> Contraction:
    """Average the scores of edges with the same ends; linear in the edges but for sorting the partners of each group.

    Args:
        first: (E,) integers from 0, group at one end.
        second: (E,) likewise, at the other end.
        scores: (E,) floats.
        weights: (E,) floats above 0.
        count: number of groups.
    """
    numbers = (np.ascontiguousarray(first, np.int64), np.ascontiguousarray(second, np.int64))
    values = (np.ascontiguousarray(scores, np.float64), np.ascontiguousarray(weights, np.float64))
    pairs, sums, totals = _contract(*numbers, *values, count)
    return Contraction(pairs, sums / totals, totals)


@compiled
def _contract(
    first: np.ndarray, second: np.ndarray, scores: np.ndarray, weights: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.zeros(count + 1, np.int64)
    for group in first:
        starts[group + 1] += 1
    starts = np.cumsum(starts)
    place, edges = starts.copy(), np.empty(len(first), np.int64)
    for edge in range(len(first)):
        edges[place[first[edge]]] = edge
        place[first[edge]] += 1
    pairs, sums = np.empty((len(first), 2), np.int64), np.zeros(len(first))
    totals, row_of = np.zeros(len(first)), np.full(count, -1, np.int64)
    filled = 0
    for group in range(count):
        begin = filled
        for edge in edges[starts[group] : starts[group + 1]]:
            if row_of[second[edge]] < 0:
                row_of[second[edge]] = 0
                pairs[filled, 0], pairs[filled, 1] = group, second[edge]
                filled += 1
        pairs[begin:filled, 1] = np.sort(pairs[begin:filled, 1])
        for row in range(begin, filled):
            row_of[pairs[row, 1]] = row
        for edge in edges[starts[group] : starts[group + 1]]:
            row = row_of[second[edge]]
            sums[row] += weights[edge] * scores[edge]
            totals[row] += weights[edge]
        for row in range(begin, filled):
            row_of[pairs[row, 1]] = -1
    return pairs[:filled], sums[:filled], totals[:filled]
