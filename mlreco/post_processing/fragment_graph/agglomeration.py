"""Agglomerative clustering of a graph whose edges have scores: the pair with the highest score is merged first."""

from __future__ import annotations

import heapq

import numpy as np

from mlreco.compiled import compiled

AVERAGE, SUM = 0, 1
"""How an edge between clusters is scored: by the weighted mean of the edges between their members, or by the sum."""


def agglomerate(
    edges: np.ndarray, scores: np.ndarray, count: int, linkage: int = AVERAGE, weights: np.ndarray | None = None
) -> np.ndarray:
    """Merge the two clusters with the highest score between them as long as it is above 0.

    With ``AVERAGE`` this is average linkage over the edges that there are: on a complete graph of equal weights the
    same as UPGMA of the negative scores, cut at 0. With ``SUM`` it is greedy additive edge contraction (Keuper et al.
    2015), a heuristic of correlation clustering. Of equal scores the edge that comes first goes first.

    Args:
        edges: (E, 2) integers, two different nodes each; no pair twice.
        scores: (E,) floats, finite: log-odds for example.
        count: number of nodes.
        linkage: ``AVERAGE`` or ``SUM``.
        weights: (E,) above 0: how much each edge counts in a mean or a sum. 1 each if None.

    Returns:
        (count,) int64, for each node a node that represents its cluster, the same for all nodes of a cluster.
    """
    weights = np.ones(len(edges)) if weights is None else np.ascontiguousarray(weights, np.float64)
    totals = np.ascontiguousarray(scores, np.float64) * weights
    return _agglomerate(np.ascontiguousarray(edges, np.int64), totals, weights, count, linkage == SUM)


@compiled
def _agglomerate(edges: np.ndarray, totals: np.ndarray, weights: np.ndarray, count: int, summed: bool) -> np.ndarray:
    ends, sizes = edges.copy(), weights.copy()
    stamps = np.zeros(len(edges), np.int64)
    alive = np.ones(len(edges), np.bool_)
    first, following = np.full(count, -1, np.int64), np.full((len(edges), 2), -1, np.int64)
    degrees = np.zeros(count, np.int64)
    heap = [(0.0, np.int64(0), np.int64(0)) for _ in range(0)]
    for edge in range(len(edges)):
        for side in range(2):
            node = ends[edge, side]
            following[edge, side] = first[node]
            first[node] = 2 * edge + side
            degrees[node] += 1
        if totals[edge] > 0:
            score = totals[edge] if summed else totals[edge] / sizes[edge]
            heap.append((-score, np.int64(edge), np.int64(0)))
    heapq.heapify(heap)
    parents = np.arange(count)
    known = np.full(count, -1, np.int64)
    while len(heap):
        _, best, stamp = heapq.heappop(heap)
        if not alive[best] or stamps[best] != stamp:
            continue
        keep, gone = ends[best, 0], ends[best, 1]
        if degrees[gone] > degrees[keep]:
            keep, gone = gone, keep
        alive[best] = False
        parents[gone] = keep
        _mark(keep, first, following, ends, alive, known)
        half = first[gone]
        while half >= 0:
            one, side = half >> 1, half & 1
            half = following[one, side]
            if not alive[one]:
                continue
            other = ends[one, 1 - side]
            if known[other] >= 0:
                both = known[other]
                totals[both] += totals[one]
                sizes[both] += sizes[one]
                stamps[both] += 1
                alive[one] = False
                score = totals[both] if summed else totals[both] / sizes[both]
                if score > 0:
                    heapq.heappush(heap, (-score, both, stamps[both]))
            else:
                ends[one, side] = keep
                following[one, side] = first[keep]
                first[keep] = 2 * one + side
                degrees[keep] += 1
        _unmark(keep, first, following, ends, known)
    for node in range(count):
        top = node
        while parents[top] != top:
            top = parents[top]
        parents[node] = top
    return parents


@compiled
def _mark(
    node: int, first: np.ndarray, following: np.ndarray, ends: np.ndarray, alive: np.ndarray, known: np.ndarray
) -> None:
    """Write for every neighbour of a node which edge leads there, and drop the edges that were merged away."""
    half, last = first[node], -1
    while half >= 0:
        edge, side = half >> 1, half & 1
        after = following[edge, side]
        if alive[edge]:
            known[ends[edge, 1 - side]] = edge
            last = half
        elif last < 0:
            first[node] = after
        else:
            following[last >> 1, last & 1] = after
        half = after


@compiled
def _unmark(node: int, first: np.ndarray, following: np.ndarray, ends: np.ndarray, known: np.ndarray) -> None:
    half = first[node]
    while half >= 0:
        edge, side = half >> 1, half & 1
        known[ends[edge, 1 - side]] = -1
        half = following[edge, side]
