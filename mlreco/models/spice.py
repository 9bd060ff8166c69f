"""SPICE: an embedding of voxels in which every particle instance is a ball (Koh et al., arXiv:2007.03083)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mlreco.errors import UserError
from mlreco.models.event_rows import EventRows
from mlreco.models.labels import Labels
from mlreco.models.layers.by_row import by_row
from mlreco.models.layers.head import Head
from mlreco.models.losses.spice import SpiceLoss as InstanceLoss
from mlreco.models.network_input import INPUT_FEATURES
from mlreco.models.stage import StageLoss, require
from mlreco.post_processing.predicted import IN_TRUE_CLASSES
from mlreco.semantics import ClassScheme
from mlreco.sparse import SparseConvTensor, UNetDecoder, UNetEncoder

SEMANTICS = {"predicted": "segmentation", "true": "labels"}
"""Sources of the classes in which SPICE clusters, and the products that have them."""


def semantics_source(semantics: str | bool, stage: str) -> str:
    """Return ``predicted`` or ``true``, as the key ``semantics`` of a stage says.

    Raises:
        UserError: anything else.
    """
    source = "true" if semantics is True else semantics
    if source not in SEMANTICS:
        raise UserError(f"model.modules.{stage}.semantics is '{semantics}'; valid: {', '.join(SEMANTICS)}")
    return source


def clustering_classes(source: str, stage: str, products: Mapping[str, Any]) -> dict[str, Any]:
    """Return the classes in which voxels are to be clustered, and the mark of where these come from.

    Returns:
        ``semantics`` (N,) int64 and, a row an event, ``in_true_classes`` int8: 1 for true, 0 for predicted classes.

    Raises:
        UserError: true classes are asked for and the events have none.
    """
    if source == "predicted":
        semantics = products["segmentation"].argmax(dim=1)
    else:
        needed = f"semantic classes (model.modules.{stage}.semantics: true)"
        semantics = require(products["labels"].semantics, stage, needed, "parse_sparse3d of a semantics product")
    events = products["image"].batch_size
    mark = torch.full((events,), source == "true", dtype=torch.int8)
    return {"semantics": semantics, IN_TRUE_CLASSES: EventRows(mark, (1,) * events)}


def require_dimensions(dimensions: int, stage: str) -> None:
    """Raise UserError where an embedding has no room for the three offsets of a voxel."""
    if dimensions < 3:
        raise UserError(f"model.modules.{stage}.dimensions is {dimensions}; it is 3 or more")


def embedding_products(
    image: SparseConvTensor, embedding: torch.Tensor, seediness: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return embedding, margin and seediness from the outputs of the last layers.

    Args:
        image: the input image; its first three features are the normalised coordinates.
        embedding: (N, D + 1) three offsets, margin, further dimensions.
        seediness: (N, 1).

    Returns:
        ``embeddings`` (N, D): tanh offset plus normalised coordinate, then tanh of the further dimensions; ``margins``
        (N,) in (0, 2); ``seediness`` (N,) in (0, 1).
    """
    embeddings = by_row(torch.tanh, embedding[:, :3]) + image.features[:, :3]
    if embedding.shape[1] > 4:
        embeddings = torch.cat([embeddings, by_row(torch.tanh, embedding[:, 4:])], dim=1)
    return {
        "embeddings": embeddings,
        "margins": 2 * by_row(torch.sigmoid, embedding[:, 3]),
        "seediness": by_row(torch.sigmoid, seediness[:, 0]),
    }


class SpiceLoss(StageLoss):
    """The loss of the paper on the true instances of every true class.

    Args:
        class_scheme: numbering of the classes.
        arguments: those of :class:`mlreco.models.losses.spice.SpiceLoss`.
    """

    __signature__ = inspect.signature(InstanceLoss, eval_str=True)

    def __init__(self, class_scheme: ClassScheme, **arguments: Any) -> None:
        super().__init__()
        self.loss = InstanceLoss(class_scheme=class_scheme, **arguments)

    def forward(self, products: Mapping[str, Any], labels: Labels) -> dict[str, torch.Tensor]:
        """Return ``loss`` and its terms."""
        batch = products["image"].indices[:, 0]
        embedding = (products["embeddings"], products["margins"], products["seediness"])
        return self.loss(*embedding, batch, *self._truth(labels))

    def weight(self, labels: Labels, events: torch.Tensor) -> torch.Tensor:
        """Return the number of events with an instance."""
        return self.loss.weight(events, *self._truth(labels))

    def _truth(self, labels: Labels) -> tuple[torch.Tensor, torch.Tensor]:
        instances = require(labels.instances, "spice", "instances", "parse_cluster3d_clean_full")
        semantics = require(labels.semantics, "spice", "semantic classes", "parse_sparse3d of a semantics product")
        return semantics, instances


class Spice(nn.Module):
    """One encoder, a decoder for embedding and margin, a decoder for seediness.

    Args:
        class_scheme: numbering of the classes.
        filters: features at the finest level; they grow linearly.
        depth: number of levels.
        reps: residual blocks a level.
        leakiness: slope of LeakyReLU below zero.
        semantics: ``predicted`` or ``true``: the classes in which the voxels are clustered afterwards.
        dimensions: of the embedding, at least the paper's 3.

    Raises:
        UserError: fewer dimensions, or an unknown source of classes.

    In a configuration a block ``spice`` may also hold ``thresholds``, which go to the clusterer in ``post_processing``.
    """

    requires: tuple[str, ...] = ("image",)
    provides: tuple[str, ...] = ("embeddings", "margins", "seediness", "semantics", IN_TRUE_CLASSES)
    Loss: type[StageLoss] = SpiceLoss

    def __init__(
        self,
        class_scheme: ClassScheme,
        filters: int = 32,
        depth: int = 6,
        reps: int = 2,
        leakiness: float = 0.33,
        semantics: str | bool = "predicted",
        dimensions: int = 3,
    ) -> None:
        super().__init__()
        require_dimensions(dimensions, "spice")
        self.semantics = semantics_source(semantics, "spice")
        self.requires = (*type(self).requires, SEMANTICS[self.semantics])
        self.depth = depth
        self.encoder = UNetEncoder(INPUT_FEATURES, filters, depth, reps, leakiness)
        self.embedding_decoder = UNetDecoder(filters, depth, reps, leakiness)
        self.embedding_head = Head(filters, dimensions + 1, leakiness)
        self.seediness_decoder = UNetDecoder(filters, depth, reps, leakiness)
        self.seediness_head = Head(filters, 1, leakiness)

    def forward(self, products: Mapping[str, Any]) -> dict[str, Any]:
        """Return the embedding on the rows of ``image``, and the classes in which they are to be clustered.

        Returns:
            What `embedding_products` and `clustering_classes` return.
        """
        image = products["image"]
        levels = self.encoder(image)
        embedding = self.embedding_head(self.embedding_decoder(levels).features)
        seediness = self.seediness_head(self.seediness_decoder(levels).features)
        return {
            **embedding_products(image, embedding, seediness),
            **clustering_classes(self.semantics, "spice", products),
        }
