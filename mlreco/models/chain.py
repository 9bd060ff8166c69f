"""The chain of stages, each of which makes products from others; checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import nn

from mlreco.errors import UserError, nearest
from mlreco.graph_batch import GraphBatch
from mlreco.models.blocks import ModelSection, StageBlock
from mlreco.models.factories import construct
from mlreco.models.labels import Labels, labels_from
from mlreco.models.loss_terms import LossTerms
from mlreco.models.network_input import sparse_image
from mlreco.models.stage import DropsProducts, Stage, StageLoss
from mlreco.post_processing.predicted import IN_TRUE_CLASSES
from mlreco.semantics import ClassScheme
from mlreco.voxels import VoxelBatch

OWN_PRODUCTS = ("image", "image_shapes", "labels")
"""Products that the chain itself provides."""
Built = TypeVar("Built")


class ChainLoss(StageLoss):
    """The weighted sum of the losses of the stages.

    Args:
        losses: loss of every stage by its name.
        factors: factor of the loss of a stage in the sum (``trainval.loss_weights``); 1 where not given.

    Raises:
        UserError: a factor of an unknown stage.
    """

    def __init__(self, losses: Mapping[str, StageLoss], factors: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        for name in factors or {}:
            if name not in losses:
                raise UserError(f"trainval.loss_weights: the chain has no stage '{name}'{nearest(name, losses)}")
        self.factors = {name: (factors or {}).get(name, 1.0) for name in losses}

    @classmethod
    def of(cls, section: ModelSection, factors: Mapping[str, float] | None = None) -> ChainLoss:
        """Build the losses that a section describes."""
        losses = {}
        for block in section.blocks:
            _, kind = construct(block.stage)
            losses[block.name] = _build(kind, f"model.modules.{block.name}_loss", section.scheme, block.loss_arguments)
        return cls(losses, factors)

    @classmethod
    def from_config(cls, model: Mapping[str, Any], factors: Mapping[str, float] | None = None) -> ChainLoss:
        """Build the loss of the chain of a section ``model``; ``factors`` is ``trainval.loss_weights``."""
        return cls.of(ModelSection.read(model), factors)

    def forward(self, products: Mapping[str, Any], labels: Labels) -> LossTerms:
        """Return ``loss``, the sum, and the terms of every stage as ``<stage>_<term>``, before their factors."""
        terms = LossTerms.joined({name: loss(products, labels) for name, loss in self.losses.items()})
        return LossTerms({"loss": self.total(terms), **terms}, terms.weights)

    def total(self, terms: Mapping[str, torch.Tensor], shares: Mapping[str, torch.Tensor] | None = None) -> Any:
        """Return the sum of the losses of the stages, each times its factor.

        Args:
            terms: those of :meth:`forward`.
            shares: by stage, the part that this batch has in a larger one; 1 without it.
        """
        losses = {name: terms[f"{name}_loss"] for name in self.losses}
        if shares is not None:
            losses = {name: shares[name] * value for name, value in losses.items()}
        return sum(value if self.factors[name] == 1.0 else self.factors[name] * value for name, value in losses.items())

    def weights(self, labels: Labels, events: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return by stage the weight of a batch in means over several batches (:meth:`StageLoss.weight`)."""
        return {name: cast(StageLoss, loss).weight(labels, events) for name, loss in self.losses.items()}


class Chain(nn.Module):
    """Stages in the order in which their products allow.

    Args:
        section: the stages, their losses and inputs. Its ``network_input`` is a blob of voxels, or one with graphs of
            fragments under the name of the product that a stage requires.

    Raises:
        UserError: a stage requires a product that none provides, or an argument is unknown.
    """

    Loss: type[StageLoss] = ChainLoss

    def __init__(self, section: ModelSection) -> None:
        super().__init__()
        self.section = section
        self.scheme = section.scheme
        self.network_input = section.network_input
        self.loss_input = section.loss_input
        built = {block.name: _stage(block, section.scheme) for block in section.blocks}
        order = running_order(built, self.network_input)
        self.stages = nn.ModuleDict({name: cast(nn.Module, built[name]) for name in order})
        self.depth = max(stage.depth for stage in built.values())
        self.frozen: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, model: Mapping[str, Any]) -> Chain:
        """Build the chain of the ``model`` section of a configuration."""
        return cls(ModelSection.read(model))

    def make_loss(self, factors: Mapping[str, float] | None = None) -> ChainLoss:
        """Build the loss of this chain.

        Args:
            factors: ``trainval.loss_weights``.
        """
        return ChainLoss.of(self.section, factors)

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the products of all stages for a batch of the data loader.

        Args:
            batch: its blobs by name; `Labels` under ``labels`` stand in for the blobs of labels.

        Returns:
            tensors whose rows are those of the input voxels, graphs, and ``image`` and ``labels``.
        """
        products = self._given(batch)
        for stage in self.stages.values():
            products.update(stage(products))
        return products

    def _given(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        graph = batch.get(self.network_input)
        if isinstance(graph, GraphBatch):
            self._require_no_image()
            return {self.network_input: graph, "labels": Labels()}
        voxels = self.voxels(batch)
        return {
            "image": sparse_image(voxels, self.depth),
            "image_shapes": tuple(meta.shape for meta in voxels.metas),
            "labels": self.labels(batch),
        }

    @property
    def in_true_classes(self) -> bool:
        """Whether a stage says that voxels are clustered in true classes."""
        sources = [cast(Any, stage) for stage in self.stages.values() if IN_TRUE_CLASSES in cast(Stage, stage).provides]
        return any(stage.semantics == "true" for stage in sources)

    def unwritten(self) -> list[str]:
        """Return the names of the products that only post-processors use."""
        dropping = [stage for stage in self.stages.values() if isinstance(stage, DropsProducts)]
        return [name for stage in dropping for name in stage.unwritten]

    def requiring(self, product: str) -> list[str]:
        """Return the names of the stages that require a product."""
        return [name for name, stage in self.stages.items() if product in cast(Stage, stage).requires]

    def _require_no_image(self) -> None:
        for name in self.requiring("image"):
            raise UserError(f"model.modules.{name} requires voxels; model.network_input holds graphs of fragments")

    def voxels(self, batch: Mapping[str, Any]) -> VoxelBatch:
        """Return the voxels of a batch that are reconstructed.

        Raises:
            UserError: the batch has none.
        """
        voxels = batch.get(self.network_input)
        if not isinstance(voxels, VoxelBatch):
            raise UserError(
                f"model.network_input '{self.network_input}' is not a blob of voxels of iotool.dataset.schema"
            )
        return voxels

    def of_graphs(self, batch: Mapping[str, Any]) -> bool:
        """Return whether a batch consists of graphs of fragments, without voxels."""
        return isinstance(batch.get(self.network_input), GraphBatch)

    def events(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the (N,) integer event of each voxel of a batch, or of each fragment where it consists of graphs."""
        graph = batch.get(self.network_input)
        return graph.event_of_nodes() if isinstance(graph, GraphBatch) else self.voxels(batch).coordinates[:, 0]

    def labels(self, batch: Mapping[str, Any]) -> Labels:
        """Return the labels of these voxels that the batch has; graphs contain their own labels."""
        given = batch.get("labels")
        if isinstance(given, Labels):
            return given
        if self.of_graphs(batch):
            return Labels()
        return labels_from(batch, self.voxels(batch), self.loss_input)

    def freeze(self, names: Sequence[str]) -> None:
        """Keep the parameters and running statistics of modules as they are, also in training mode.

        Args:
            names: exact names of modules as in ``named_modules`` (``spice.seediness_decoder``), relative to the stages.

        Raises:
            UserError: no module has that name.
        """
        known = {name: module for name, module in self.stages.named_modules() if name}
        for name in names:
            if name not in known:
                raise UserError(f"cannot freeze '{name}': the model has no module of that name{nearest(name, known)}")
            known[name].requires_grad_(False)
        self.frozen = (*self.frozen, *names)
        self.train(self.training)

    def train(self, mode: bool = True) -> Chain:
        """Switch to training mode, the frozen modules excepted."""
        super().train(mode)
        for name in self.frozen:
            self.stages.get_submodule(name).eval()
        return self


def _stage(block: StageBlock, scheme: ClassScheme) -> Stage:
    kind, _ = construct(block.stage)
    return _build(kind, f"model.modules.{block.name}", scheme, block.arguments)


def _build(kind: Callable[..., Built], where: str, scheme: ClassScheme, arguments: Mapping[str, Any]) -> Built:
    try:
        return kind(class_scheme=scheme, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error


def running_order(stages: Mapping[str, Stage], *given: str) -> list[str]:
    """Return the stages so that each comes after those whose products it requires.

    Raises:
        UserError: a product has no producer.
    """
    order: list[str] = []
    products, waiting = {*OWN_PRODUCTS, *given}, list(stages)
    while waiting:
        ready = [name for name in waiting if products.issuperset(stages[name].requires)]
        if not ready:
            name = waiting[0]
            missing = sorted(set(stages[name].requires) - products)
            raise UserError(
                f"model.modules.{name} requires '{missing[0]}', which no stage of the chain provides "
                f"(there are: {', '.join(sorted(products))})"
            )
        order += ready
        for name in ready:
            products.update(stages[name].provides)
            waiting.remove(name)
    return order
