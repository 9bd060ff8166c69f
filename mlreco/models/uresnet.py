"""UResNet: the semantic class of every voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mlreco.models.labels import Labels
from mlreco.models.layers.class_offsets import ClassOffsets
from mlreco.models.layers.head import Head
from mlreco.models.losses.segmentation import SegmentationLoss
from mlreco.models.network_input import INPUT_FEATURES
from mlreco.models.stage import StageLoss, require
from mlreco.semantics import ClassScheme
from mlreco.sparse import UNetDecoder, UNetEncoder


class UResNetLoss(StageLoss):
    """Cross entropy over voxels of known class.

    Args:
        class_scheme: numbering of the classes.
        class_weights: weight by class name; 1 where not given.
    """

    def __init__(self, class_scheme: ClassScheme, class_weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.loss = SegmentationLoss(class_scheme, class_weights)

    def forward(self, products: Mapping[str, Any], labels: Labels) -> dict[str, torch.Tensor]:
        """Return ``loss``, ``accuracy`` and the accuracy of every class."""
        return self.loss(products["segmentation"], self._semantics(labels))

    def weight(self, labels: Labels, events: torch.Tensor) -> torch.Tensor:
        """Return the number of voxels of known class, each with the weight of its class."""
        return self.loss.weight(self._semantics(labels))

    def _semantics(self, labels: Labels) -> torch.Tensor:
        return require(labels.semantics, "uresnet", "semantic classes", "parse_sparse3d of a semantics product")


class UResNet(nn.Module):
    """Sparse U-Net with residual blocks and one score per class and voxel (arXiv:1903.05663).

    Args:
        class_scheme: numbering of the classes.
        filters: features at the finest level; they grow linearly.
        depth: number of levels.
        reps: residual blocks a level.
        leakiness: slope of LeakyReLU below zero.
        class_offsets: added to the logits outside of training, by class name; 0 where not given.
    """

    requires: tuple[str, ...] = ("image",)
    provides: tuple[str, ...] = ("segmentation",)
    Loss: type[StageLoss] = UResNetLoss

    def __init__(
        self,
        class_scheme: ClassScheme,
        filters: int = 32,
        depth: int = 6,
        reps: int = 2,
        leakiness: float = 0.33,
        class_offsets: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.encoder = UNetEncoder(INPUT_FEATURES, filters, depth, reps, leakiness)
        self.decoder = UNetDecoder(filters, depth, reps, leakiness)
        self.head = Head(filters, len(class_scheme), leakiness)
        self.class_offsets = ClassOffsets(class_scheme, class_offsets)

    def forward(self, products: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return ``segmentation``: (N, classes) logits on the rows of ``image``."""
        features = self.decoder(self.encoder(products["image"])).features
        return {"segmentation": self.class_offsets(self.head(features))}
