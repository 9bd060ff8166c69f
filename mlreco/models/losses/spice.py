"""The loss of SPICE: mask, smoothing, inter-instance and seediness terms, averaged as in the paper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from mlreco.errors import UserError, nearest
from mlreco.models.loss_terms import LossTerms
from mlreco.models.losses.instances import Instances
from mlreco.models.losses.kernel import MIN_MARGIN, pair_log_scores
from mlreco.models.losses.label_checks import require_classes
from mlreco.models.losses.masks import mask_loss as find_mask_loss
from mlreco.models.losses.segments import segment_mean, segment_sum
from mlreco.models.losses.terms import (
    SEEDINESS_NORMS,
    group_mean,
    inter_term,
    mask_overlap,
    seediness_term,
    smoothing_term,
)
from mlreco.semantics import ClassScheme


class SpiceLoss(nn.Module):
    """The loss of SPICE (equations II.3 to II.11 of the paper) over all instances of a batch at once.

    Each term is averaged over the instances of an event and class, then over the classes of an event, then over the
    events with an instance. An instance that spans semantic classes counts as one instance in each of them.
    ``loss = seediness_weight * seediness + embedding_weight * (mask_weight * mask + smoothing_weight * smoothing +
    inter_weight * inter)``.
    """

    def __init__(
        self,
        class_scheme: ClassScheme,
        mask_loss: str = "lovasz_hinge",
        mask_loss_args: Mapping[str, Any] | None = None,
        embedding_weight: float = 1.0,
        seediness_weight: float = 1.0,
        mask_weight: float = 1.0,
        smoothing_weight: float = 1.0,
        inter_weight: float = 1.0,
        delta_d: float = 0.2,
        inter_across_classes: bool = False,
        seediness_norm: str = "l2",
        skip_classes: Sequence[str] = (),
        min_voxels: int = 1,
    ) -> None:
        """Choose the terms and their weights.

        Args:
            class_scheme: the numbering of semantic classes in the labels.
            mask_loss: ``lovasz_hinge`` (the paper's), ``bce``, ``dice`` or ``focal``.
            mask_loss_args: options of the mask loss.
            embedding_weight: gamma_2 of II.11, of the mask, smoothing and inter terms together.
            seediness_weight: gamma_1 of II.11.
            mask_weight: of the mask term (II.5).
            smoothing_weight: of the smoothing term (II.6).
            inter_weight: of the inter-instance term (II.7).
            delta_d: centroids of a group are pushed apart below a distance of 2 delta_d.
            inter_across_classes: push apart all instances of an event, where the paper pushes those of one class.
            seediness_norm: ``l2``: squared difference of seediness and score (II.9); ``l1``: absolute difference.
            skip_classes: names of classes that do not contribute.
            min_voxels: instances with fewer voxels do not contribute, nor do their voxels.

        Raises:
            UserError: an unknown name.
        """
        super().__init__()
        if seediness_norm not in SEEDINESS_NORMS:
            raise UserError(f"no seediness_norm '{seediness_norm}'{nearest(seediness_norm, SEEDINESS_NORMS)}")
        self.class_scheme = class_scheme
        self.mask_loss = find_mask_loss(mask_loss, mask_loss_args)
        self.weights = {
            "mask": embedding_weight * mask_weight,
            "smoothing": embedding_weight * smoothing_weight,
            "inter": embedding_weight * inter_weight,
            "seediness": seediness_weight,
        }
        self.delta_d = delta_d
        self.inter_across_classes = inter_across_classes
        self.seediness_norm = seediness_norm
        self.skipped = tuple(class_scheme.number(name) for name in skip_classes)
        self.min_voxels = min_voxels

    def forward(
        self,
        embeddings: Tensor,
        margins: Tensor,
        seediness: Tensor,
        batch: Tensor,
        semantics: Tensor,
        instances: Tensor,
    ) -> LossTerms:
        """Compute the loss of a batch.

        Args:
            embeddings: (N, D) e_i.
            margins: (N,) sigma_i in (0, 2).
            seediness: (N,) s_i in (0, 1).
            batch: (N,) integer event of each voxel.
            semantics: (N,) integer true semantic class; -1 leaves the voxel out.
            instances: (N,) integer true instance number; -1 leaves the voxel out.

        Returns:
            Scalars: ``loss``, and detached from the graph ``mask``, ``smoothing``, ``inter``, ``seediness`` before
            weighting, ``accuracy`` (mean IoU of the masks p > 0.5, averaged like the terms) and ``loss_<class>`` and
            ``accuracy_<class>`` averaged over the events with that class. Without an instance the terms are 0, and
            ``loss`` is a 0 with a graph; accuracies and the numbers of absent classes are NaN. The
            weights of the numbers of a class are the events with it, that of ``accuracy`` the events with an instance.

        Raises:
            UserError: a semantic class that the scheme does not have.
        """
        return self.terms(embeddings, margins, seediness, self.truth(batch, semantics, instances))

    def truth(self, batch: Tensor, semantics: Tensor, instances: Tensor) -> Instances:
        """Return the true instances that the loss regards.

        Args:
            batch: as of ``forward``, like the others.
            semantics: true classes.
            instances: true instance numbers.

        Raises:
            UserError: a semantic class that the scheme does not have.
        """
        require_classes(semantics, self.class_scheme)
        return Instances.build(batch, semantics, instances, self._regarded(semantics, instances), self.min_voxels)

    def terms(self, embeddings: Tensor, margins: Tensor, seediness: Tensor, truth: Instances) -> LossTerms:
        """Return what ``forward`` returns, for instances of ``truth``."""
        dtype = torch.promote_types(embeddings.dtype, torch.float32)
        embeddings, margins, seediness = (x[truth.rows].to(dtype) for x in (embeddings, margins, seediness))
        centroids = segment_mean(embeddings, truth.instance, truth.count)
        mean_margins = segment_mean(margins, truth.instance, truth.count)
        pairs = truth.voxel_pairs()
        log_scores = pair_log_scores(embeddings, centroids, mean_margins.clamp(min=MIN_MARGIN), pairs)
        own_scores = log_scores.detach()[pairs.own].exp()
        group_terms = {
            "mask": group_mean(self.mask_loss(log_scores, pairs), truth),
            "smoothing": smoothing_term(margins, mean_margins, truth),
            "inter": inter_term(centroids, self.delta_d, truth, self.inter_across_classes),
            "seediness": seediness_term(seediness, own_scores, self.seediness_norm, truth),
        }
        return self._summary(group_terms, mask_overlap(log_scores.detach(), pairs, truth), truth)

    def weight(self, batch: Tensor, semantics: Tensor, instances: Tensor) -> Tensor:
        """Return the number of events with an instance, over which the loss is a mean, ().

        Args:
            batch: (N,) integer event of each voxel.
            semantics: (N,) integer true semantic class.
            instances: (N,) integer true instance number.
        """
        return self.truth(batch, semantics, instances).event_count

    def _regarded(self, semantics: Tensor, instances: Tensor) -> Tensor:
        """Return the (N,) bool mask of the voxels that the loss regards."""
        regarded = (semantics >= 0) & (instances >= 0)
        for number in self.skipped:
            regarded &= semantics != number
        return regarded

    def _summary(self, group_terms: dict[str, Tensor], overlap: Tensor, truth: Instances) -> LossTerms:
        """Average over groups: for the batch and for each class."""
        group_weights = truth.group_weights(overlap.dtype)
        group_loss = reduce(torch.add, [weight * group_terms[term] for term, weight in self.weights.items()])
        result = {"loss": (group_weights * group_loss).sum()}
        for term, values in group_terms.items():
            result[term] = (group_weights * values.detach()).sum()
        result["accuracy"] = (group_weights * overlap).sum() if truth.count else overlap.new_tensor(math.nan)
        classes = len(self.class_scheme)
        groups = torch.bincount(truth.group_class, minlength=classes)
        counts = {"accuracy": truth.event_count}
        for prefix, values in (("loss", group_loss.detach()), ("accuracy", overlap)):
            means = segment_sum(values, truth.group_class, classes) / groups
            for i, name in enumerate(self.class_scheme.classes):
                result[f"{prefix}_{name}"], counts[f"{prefix}_{name}"] = means[i], groups[i]
        return LossTerms(result, counts)
