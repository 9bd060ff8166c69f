"""Mask losses: how well the scores p_ik of an instance single out its voxels among those of its group.

Each takes log p of all pairs and returns one loss per instance. Formulas with p = exp(log p), y = 1 for members.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mlreco.errors import UserError, nearest
from mlreco.models.losses.instances import Pairs
from mlreco.models.losses.lovasz import lovasz_hinge
from mlreco.models.losses.segments import segment_sum

MaskLoss = Callable[[Tensor, Pairs], Tensor]

MAX_LOG_SCORE = -1e-6
"""log p of voxels outside an instance is clamped from above here where log(1 - p) is taken.

Such a voxel within 1.4e-3 sigma of the centroid costs 13.8 and feels no force, instead of an infinite one.
"""


def _log_complement(log_score: Tensor) -> Tensor:
    """Compute log(1 - p) from log p."""
    return torch.log(-torch.expm1(log_score.clamp(max=MAX_LOG_SCORE)))


def _mean_of_pairs(values: Tensor, pairs: Pairs) -> Tensor:
    return segment_sum(values, pairs.instance, pairs.count) / pairs.length.to(values.dtype)


def bce(log_score: Tensor, pairs: Pairs) -> Tensor:
    """Binary cross entropy (II.4 of the SPICE paper), in log space: -mean of y log p + (1 - y) log(1 - p).

    Args:
        log_score: (P,) log p.
        pairs: the pairs; the mean runs over the voxels of the group.

    Returns:
        (M,) loss of each instance.
    """
    return _mean_of_pairs(-torch.where(pairs.member, log_score, _log_complement(log_score)), pairs)


def focal(log_score: Tensor, pairs: Pairs, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Focal loss (Lin et al., 2017): -mean of alpha_t (1 - p_t)^gamma log p_t, with p_t = p for members, else 1 - p.

    Args:
        log_score: (P,) log p.
        pairs: the pairs; the mean runs over the voxels of the group.
        gamma: exponent that takes weight from well classified voxels, at least 1, or 0 for the cross entropy.
        alpha: weight of members, 1 - alpha that of the others; None weighs both 1.

    Returns:
        (M,) loss of each instance.

    Raises:
        UserError: a gamma at which a perfectly classified voxel would have an infinite gradient.
    """
    if gamma < 1.0 and gamma != 0.0:
        raise UserError(f"focal loss: gamma is {gamma}; it must be 0 or at least 1")
    miss = torch.where(pairs.member, -torch.expm1(log_score), log_score.exp())
    values = -(miss**gamma) * torch.where(pairs.member, log_score, _log_complement(log_score))
    if alpha is not None:
        values = torch.where(pairs.member, alpha * values, (1.0 - alpha) * values)
    return _mean_of_pairs(values, pairs)


def dice(log_score: Tensor, pairs: Pairs, smoothing: float = 1.0) -> Tensor:
    """Soft Dice loss: 1 - (2 sum p y + s) / (sum p + sum y + s).

    Args:
        log_score: (P,) log p.
        pairs: the pairs.
        smoothing: s in voxels; tempers the loss of instances of a few voxels.

    Returns:
        (M,) loss of each instance.
    """
    score = log_score.exp()
    total = segment_sum(score, pairs.instance, pairs.count)
    inside = segment_sum(score[pairs.own], pairs.instance[pairs.own], pairs.count)
    return 1.0 - (2.0 * inside + smoothing) / (total + pairs.size + smoothing)


MASK_LOSSES: dict[str, Callable[..., Tensor]] = {
    "lovasz_hinge": lovasz_hinge,
    "bce": bce,
    "dice": dice,
    "focal": focal,
}


def mask_loss(name: str, args: Mapping[str, Any] | None = None) -> MaskLoss:
    """Return the mask loss of that name.

    Args:
        name: a key of ``MASK_LOSSES``.
        args: options of that loss, such as ``gamma`` of ``focal``.

    Raises:
        UserError: no such loss, or the loss has no such option.
    """
    if name not in MASK_LOSSES:
        raise UserError(f"no mask loss '{name}'{nearest(name, MASK_LOSSES)}")
    options = list(inspect.signature(MASK_LOSSES[name]).parameters)[2:]
    for key in args or {}:
        if key not in options:
            raise UserError(f"mask loss '{name}' has no option '{key}'{nearest(key, options)}")
    return partial(MASK_LOSSES[name], **(args or {}))
