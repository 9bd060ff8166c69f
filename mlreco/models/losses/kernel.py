"""The Gaussian score of a voxel for an instance, as its logarithm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mlreco.double_backward import gradients_with_graph
from mlreco.models.losses.instances import Pairs
from mlreco.models.losses.segments import segment_sum

MIN_MARGIN = 1e-4
"""Margins of instances are clamped from below here, so that squares and cubes stay finite in float32.

A voxel of a 768^3 image is 2.6e-3 wide in embedding units: no meaningful margin is affected.
"""


class _PairLogScore(torch.autograd.Function):
    """log p_ik of all pairs; the backward pass recomputes the distances instead of keeping them."""

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, centroids: Tensor, margins: Tensor, pairs: Pairs) -> Tensor:
        log_score = embeddings.new_zeros(len(pairs.row))
        for difference in _differences(embeddings, centroids, pairs):
            log_score.addcmul_(difference, difference)
        log_score.mul_((-0.5 / margins**2).index_select(0, pairs.instance))
        ctx.save_for_backward(embeddings, centroids, margins, log_score)
        ctx.pairs = pairs
        return log_score

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, log_score = ctx.saved_tensors
        embeddings, centroids, margins = inputs
        pairs = ctx.pairs
        if torch.is_grad_enabled():

            def scores(embeddings: Tensor, centroids: Tensor, margins: Tensor) -> Tensor:
                return _log_scores(embeddings, centroids, margins, pairs)

            return *gradients_with_graph(scores, inputs, ctx.needs_input_grad[:3], grad), None
        grad_margins = segment_sum(grad * log_score, pairs.instance, pairs.count) * (-2.0 / margins)
        pull = grad * (1.0 / margins**2).index_select(0, pairs.instance)
        grad_embeddings, grad_centroids = [], []
        for difference in _differences(embeddings, centroids, pairs):
            flow = difference.mul_(pull)
            grad_embeddings.append(-segment_sum(flow, pairs.row, len(embeddings)))
            grad_centroids.append(segment_sum(flow, pairs.instance, pairs.count))
        return torch.stack(grad_embeddings, 1), torch.stack(grad_centroids, 1), grad_margins, None


def _differences(embeddings: Tensor, centroids: Tensor, pairs: Pairs) -> Iterator[Tensor]:
    """Yield the (P,) components of e_i - mu_k, axis by axis, so that only one is in memory."""
    for embedding, centroid in zip(embeddings.unbind(1), centroids.unbind(1), strict=True):
        difference = embedding.contiguous().index_select(0, pairs.row)
        yield difference.sub_(centroid.contiguous().index_select(0, pairs.instance))


def _log_scores(embeddings: Tensor, centroids: Tensor, margins: Tensor, pairs: Pairs) -> Tensor:
    """Compute what :class:`_PairLogScore` does from differentiable operations, with all differences in memory."""
    difference = embeddings.index_select(0, pairs.row) - centroids.index_select(0, pairs.instance)
    return difference.square().sum(dim=1) * (-0.5 / margins**2).index_select(0, pairs.instance)


def pair_log_scores(embeddings: Tensor, centroids: Tensor, margins: Tensor, pairs: Pairs) -> Tensor:
    """Compute log p_ik = -|e_i - mu_k|^2 / (2 sigma_k^2) for all pairs.

    The logarithm (II.3 of the SPICE paper) does not underflow where p does.

    Args:
        embeddings: (n, D) e_i in the order of ``Instances.rows``.
        centroids: (M, D) mu_k.
        margins: (M,) sigma_k, at least ``MIN_MARGIN``.
        pairs: the pairs (i, k).

    Returns:
        (P,) values <= 0.
    """
    return _PairLogScore.apply(embeddings, centroids, margins, pairs)
