"""The loss of semantic segmentation."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlreco.models.loss_terms import LossTerms
from mlreco.models.losses.class_weights import class_weight_vector
from mlreco.models.losses.label_checks import require_classes
from mlreco.models.losses.segments import segment_mean, segment_sum
from mlreco.semantics import UNKNOWN, ClassScheme


class SegmentationLoss(nn.Module):
    """Cross entropy over the semantic classes of voxels."""

    weights: Tensor

    def __init__(self, class_scheme: ClassScheme, class_weights: Mapping[str, float] | None = None) -> None:
        """Choose the weights of the classes.

        Args:
            class_scheme: the numbering of semantic classes in the labels.
            class_weights: weight by class name; 1 for a class that is not named. The loss is the weighted mean:
                divided by the sum of the weights of the voxels.

        Raises:
            UserError: an unknown class name, or a negative weight.
        """
        super().__init__()
        self.class_scheme = class_scheme
        weights = class_weight_vector(class_scheme, class_weights, "class_weights")
        self.register_buffer("weights", weights, persistent=False)

    def weight(self, labels: Tensor) -> Tensor:
        """Return what the weighted mean over voxels is divided by, ().

        Args:
            labels: (N,) integer true classes.

        Raises:
            UserError: a label that the scheme does not have.
        """
        require_classes(labels, self.class_scheme)
        return self.weights.to(labels.device)[labels[labels > UNKNOWN].to(torch.int64)].sum()

    def forward(self, logits: Tensor, labels: Tensor, events: Tensor | None = None) -> LossTerms:
        """Compute the loss of a batch.

        Args:
            logits: (N, C) scores before the softmax.
            labels: (N,) integer true classes; voxels with -1 are left out.
            events: (N,) integer event of each voxel, to average over the voxels of each event and then over the
                events (one without a labelled voxel counts as 0); over all voxels at once if absent.

        Returns:
            Scalars: ``loss``, and detached ``accuracy`` and ``accuracy_<class>``, fractions of the voxels (of that
            true class) whose highest score is the true class. Without a labelled voxel ``loss`` is a 0 with a graph;
            accuracies without voxels are NaN. The weights of the accuracies are their numbers of voxels.

        Raises:
            UserError: a label that the scheme does not have.
        """
        classes = len(self.class_scheme)
        require_classes(labels, self.class_scheme)
        known = labels > UNKNOWN
        logits, labels = logits[known], labels[known].to(torch.int64)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        weights = self.weights.to(logits.dtype)
        if events is None:
            total = functional.cross_entropy(logits, labels, weight=weights, reduction="sum")
            norm = weights[labels].sum()
            loss = total / torch.where(norm > 0, norm, 1.0)
        else:
            event = torch.unique(events, return_inverse=True)[1]
            count = int(event.max()) + 1 if len(event) else 1
            costs = functional.cross_entropy(logits, labels, weight=weights, reduction="none")
            norms = segment_sum(weights[labels], event[known], count)
            loss = (segment_sum(costs, event[known], count) / torch.where(norms > 0, norms, 1.0)).mean()
        result, counts = {"loss": loss}, {}
        with torch.no_grad():
            correct = (logits.argmax(1) == labels).to(logits.dtype)
            sizes = torch.bincount(labels, minlength=classes)
            result["accuracy"] = correct.mean() if len(correct) else logits.new_tensor(math.nan)
            means = segment_mean(correct, labels, classes).where(sizes > 0, math.nan)
            counts["accuracy"] = sizes.sum()
            for i, name in enumerate(self.class_scheme.classes):
                result[f"accuracy_{name}"], counts[f"accuracy_{name}"] = means[i], sizes[i]
        return LossTerms(result, counts)
