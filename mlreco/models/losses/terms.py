"""The terms of the loss of SPICE beside the mask loss, one value for each event and semantic class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mlreco.models.losses.instances import Instances, Pairs
from mlreco.models.losses.segments import segment_mean, segment_sum

SEEDINESS_NORMS = ("l1", "l2")


def group_mean(values: Tensor, truth: Instances) -> Tensor:
    """Average (M,) values of instances over the instances of each group, to (G,)."""
    return segment_mean(values, truth.group, len(truth.group_class))


def smoothing_term(margins: Tensor, mean_margins: Tensor, truth: Instances) -> Tensor:
    """Compute the smoothing term (II.6): mean of |sigma_i - sigma_k|, with sigma_k held constant.

    Args:
        margins: (n,) sigma_i in the order of ``truth.rows``.
        mean_margins: (M,) sigma_k.
        truth: the instances.

    Returns:
        (G,) averages over instances.
    """
    deviations = (margins - mean_margins.detach()[truth.instance]).abs()
    return group_mean(segment_mean(deviations, truth.instance, truth.count), truth)


def inter_term(centroids: Tensor, delta_d: float, truth: Instances, across_classes: bool = False) -> Tensor:
    """Compute the inter-instance term (II.7): sum over i < j of [2 delta_d - |mu_i - mu_j|]_+^2 / (K (K - 1)).

    That is half the mean over the instances of a group of the mean over their partners, and in this form partners of
    other classes can be regarded, too.

    Args:
        centroids: (M, D) mu_k.
        delta_d: half the distance below which centroids repel each other.
        truth: the instances.
        across_classes: the partners of an instance are all others of its event, not only those of its class.

    Returns:
        (G,); 0 for a group whose instances have no partner.
    """
    first, second = truth.instance_pairs(across_classes)
    distance = torch.linalg.vector_norm(centroids[first] - centroids[second], dim=1)
    hinge = (2.0 * delta_d - distance).clamp(min=0.0).square()
    of_instance = segment_sum(torch.cat([hinge, hinge]), torch.cat([first, second]), truth.count)
    return group_mean(of_instance / (2 * truth.partners(across_classes)).clamp(min=1), truth)


def seediness_term(seediness: Tensor, own_scores: Tensor, norm: str, truth: Instances) -> Tensor:
    """Compute the seediness term (II.9): mean of (s_i - p_ik)^2 over the voxels of each instance.

    Args:
        seediness: (n,) s_i.
        own_scores: (n,) p_ik of each voxel for its own instance, held constant.
        norm: ``l2`` as in II.9, or ``l1`` for the mean of |s_i - p_ik|.
        truth: the instances.

    Returns:
        (G,) averages over instances.
    """
    errors = seediness - own_scores.detach()
    errors = errors.square() if norm == "l2" else errors.abs()
    return group_mean(segment_mean(errors, truth.instance, truth.count), truth)


def mask_overlap(log_scores: Tensor, pairs: Pairs, truth: Instances) -> Tensor:
    """Compute the IoU of the mask p > 0.5 and the voxels of each instance.

    Args:
        log_scores: (P,) log p.
        pairs: the pairs.
        truth: the instances.

    Returns:
        (G,) averages over instances.
    """
    inside = (log_scores > -math.log(2.0)).to(log_scores.dtype)
    predicted = segment_sum(inside, pairs.instance, pairs.count)
    shared = segment_sum(inside[pairs.own], truth.instance, truth.count)
    return group_mean(shared / (predicted + truth.size - shared), truth)
