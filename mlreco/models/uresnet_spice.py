"""UResNet and SPICE as one network: one encoder, and a decoder each for class, embedding and seediness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mlreco.errors import UserError, nearest
from mlreco.models.labels import Labels
from mlreco.models.layers.class_offsets import ClassOffsets
from mlreco.models.layers.head import Head
from mlreco.models.loss_terms import LossTerms
from mlreco.models.losses.segmentation import SegmentationLoss
from mlreco.models.losses.spice import SpiceLoss
from mlreco.models.network_input import INPUT_FEATURES
from mlreco.models.spice import SEMANTICS, clustering_classes, embedding_products, require_dimensions, semantics_source
from mlreco.models.stage import StageLoss, require
from mlreco.post_processing.predicted import IN_TRUE_CLASSES
from mlreco.semantics import ClassScheme
from mlreco.sparse import UNetDecoder, UNetEncoder, level_channels

DECODERS = ("segmentation", "embedding", "seediness")


class UResNetSpiceLoss(StageLoss):
    """The losses of both tasks, each a mean over events.

    ``loss = segmentation_weight * segmentation_loss + spice_loss``. Events without an instance count as 0 in the loss
    of SPICE, and those without a voxel of known class in that of the segmentation.

    Args:
        class_scheme: numbering of the classes.
        segmentation_weight: weight of the cross entropy, which is averaged over the voxels of an event.
        class_weights: weight by class name in the cross entropy; 1 where not given.
        spice: arguments of :class:`mlreco.models.losses.spice.SpiceLoss`.
    """

    def __init__(
        self,
        class_scheme: ClassScheme,
        segmentation_weight: float = 1.0,
        class_weights: Mapping[str, float] | None = None,
        spice: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.segmentation_weight = segmentation_weight
        self.segmentation = SegmentationLoss(class_scheme, class_weights)
        self.spice = SpiceLoss(class_scheme, **dict(spice or {}))

    def forward(self, products: Mapping[str, Any], labels: Labels) -> dict[str, torch.Tensor]:
        """Return ``loss``, and the terms of both losses as ``segmentation_<term>`` and ``spice_<term>``."""
        semantics = require(labels.semantics, "uresnet_spice", "classes", "parse_sparse3d of a semantics product")
        instances = require(labels.instances, "uresnet_spice", "instances", "parse_cluster3d_clean_full")
        events = products["image"].indices[:, 0]
        embedding = (products["embeddings"], products["margins"], products["seediness"])
        segmentation = self.segmentation(products["segmentation"], semantics, events)
        truth = self.spice.truth(events, semantics, instances)
        spice = self.spice.terms(*embedding, truth)
        spice["loss"] = spice["loss"] * truth.event_count / self.weight(labels, events)
        loss = self.segmentation_weight * segmentation["loss"] + spice["loss"]
        spice.weights = {name: truth.event_count for name in spice if name != "loss"} | spice.weights
        named = LossTerms.joined({"segmentation": segmentation, "spice": spice})
        return LossTerms({"loss": loss, **named}, named.weights)


class UResNetSpice(nn.Module):
    """One encoder, whose coarse levels are decoded once for all tasks and the fine ones for each task.

    Args:
        class_scheme: numbering of the classes.
        filters: features at the finest level, which grow linearly; or a list with those of every level.
        depth: number of levels.
        own_levels: number of the finest levels that every task decodes for itself; the coarser ones are decoded once.
            With ``depth - 1`` the decoders share nothing.
        reps: residual blocks a level, in the encoder and the decoders.
        decoder_reps: residual blocks a level of single decoders, by name: segmentation, embedding, seediness.
        leakiness: slope of LeakyReLU below zero.
        semantics: ``predicted`` or ``true``: the classes in which the voxels are clustered afterwards.
        class_offsets: added to the logits outside of training, by class name; 0 where not given.
        dimensions: of the embedding, at least the paper's 3.

    Raises:
        UserError: an unknown source of classes or name of a decoder, or fewer dimensions.
    """

    requires: tuple[str, ...] = ("image",)
    provides: tuple[str, ...] = ("segmentation", "embeddings", "margins", "seediness", "semantics", IN_TRUE_CLASSES)
    Loss: type[StageLoss] = UResNetSpiceLoss
    segmentation_decoder: UNetDecoder
    segmentation_head: Head
    embedding_decoder: UNetDecoder
    embedding_head: Head
    seediness_decoder: UNetDecoder
    seediness_head: Head

    def __init__(
        self,
        class_scheme: ClassScheme,
        filters: int | list[int] = 32,
        depth: int = 6,
        own_levels: int = 2,
        reps: int = 2,
        decoder_reps: Mapping[str, int] | None = None,
        leakiness: float = 0.33,
        semantics: str | bool = "predicted",
        class_offsets: Mapping[str, float] | None = None,
        dimensions: int = 3,
    ) -> None:
        super().__init__()
        require_dimensions(dimensions, "uresnet_spice")
        self.semantics = semantics_source(semantics, "uresnet_spice")
        if self.semantics == "true":
            self.requires = (*type(self).requires, SEMANTICS["true"])
        own_reps = dict(decoder_reps or {})
        for name in own_reps:
            if name not in DECODERS:
                raise UserError(f"model.modules.uresnet_spice.decoder_reps: no '{name}'{nearest(name, DECODERS)}")
        if not 0 < own_levels < depth:
            raise UserError(f"model.modules.uresnet_spice.own_levels is {own_levels}; it is 1 to {depth - 1} here")
        self.depth, self.own_levels = depth, own_levels
        channels = level_channels(filters, depth)
        self.encoder = UNetEncoder(INPUT_FEATURES, channels, depth, reps, leakiness)
        self.shared_decoder = UNetDecoder(channels, depth, reps, leakiness, finest=own_levels)
        for name, width in zip(DECODERS, (len(class_scheme), dimensions + 1, 1), strict=True):
            fine = channels[: own_levels + 1]
            self.add_module(f"{name}_decoder", UNetDecoder(fine, len(fine), own_reps.get(name, reps), leakiness))
            self.add_module(f"{name}_head", Head(channels[0], width, leakiness))
        self.class_offsets = ClassOffsets(class_scheme, class_offsets)

    def forward(self, products: Mapping[str, Any]) -> dict[str, Any]:
        """Return the products of both tasks on the rows of ``image``.

        Returns:
            ``segmentation`` (N, classes) logits, and what :class:`mlreco.models.spice.Spice` returns.
        """
        image = products["image"]
        levels = self.encoder(image)
        levels = [*levels[: self.own_levels], self.shared_decoder(levels[self.own_levels :])]
        segmentation = self.class_offsets(self.segmentation_head(self.segmentation_decoder(levels).features))
        embedding = self.embedding_head(self.embedding_decoder(levels).features)
        seediness = self.seediness_head(self.seediness_decoder(levels).features)
        return {
            "segmentation": segmentation,
            **embedding_products(image, embedding, seediness),
            **clustering_classes(self.semantics, "uresnet_spice", {**products, "segmentation": segmentation}),
        }
