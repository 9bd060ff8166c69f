"""The Lovasz hinge: a convex surrogate of 1 - IoU, for all instances of a batch in one sort."""

from __future__ import annotations

import torch
from torch import Tensor

from mlreco.models.losses.instances import Pairs
from mlreco.models.losses.segments import segment_sum


def lovasz_hinge(log_score: Tensor, pairs: Pairs) -> Tensor:
    """Lovasz hinge (Berman et al., 2018) of the logits 2p - 1 of each instance.

    The hinge errors are 2 (1 - p) of members and 2 p of the others; none is negative. Their weights are the steps of
    the Jaccard loss when the voxels are taken in falling order of error, held constant under differentiation.

    Args:
        log_score: (P,) log p.
        pairs: the pairs.

    Returns:
        (M,) loss of each instance.
    """
    error = 2.0 * torch.where(pairs.member, -torch.expm1(log_score), log_score.exp())
    with torch.no_grad():
        order = _falling_order(error, pairs)
        steps = _jaccard_steps(order, pairs)
        weights = torch.empty_like(error)
        weights[order] = steps.to(error.dtype)
    return segment_sum(error * weights, pairs.instance, pairs.count)


def _falling_order(error: Tensor, pairs: Pairs) -> Tensor:
    """Return the (P,) order of the pairs by instance, then falling error."""
    by_error = torch.sort(error, descending=True, stable=True)[1]
    return by_error[torch.sort(pairs.instance[by_error], stable=True)[1]]


def _jaccard_steps(order: Tensor, pairs: Pairs) -> Tensor:
    """Return the (P,) rise of the Jaccard loss at each voxel taken in that order.

    With S members, of which m, and beside them f others, were taken so far, the Jaccard loss is 1 - (S - m) / (S + f).
    A member raises it by 1 / (S + f), another voxel by (S - m) / ((S + f) (S + f - 1)): differences are never taken.
    """
    member = pairs.member[order]
    taken_members = torch.cumsum(member, 0)
    before = torch.cat([taken_members.new_zeros(1), taken_members])[pairs.start]
    taken_members -= before[pairs.instance]
    taken = torch.arange(1, len(order) + 1, device=order.device) - pairs.start[pairs.instance]
    size = pairs.size[pairs.instance]
    union = (size + taken - taken_members).to(torch.float64)
    missing = (size - taken_members).to(torch.float64)
    return torch.where(member, 1.0 / union, missing / (union * (union - 1.0)))
