"""The chain: stages that take products and give products, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from mlreco.errors import UserError, nearest
from mlreco.graph_batch import GraphBatch
from mlreco.models.factories import construct
from mlreco.models.labels import Labels, labels_from
from mlreco.models.network_input import sparse_image
from mlreco.models.stage import StageLoss
from mlreco.semantics import ClassScheme, class_scheme
from mlreco.voxels import VoxelBatch

BLOCK_OPTIONS = ("model_path", "model_name", "freeze_weights")
"""Keys of a block that say where its weights come from; the rest are arguments of the stage."""
GIVEN = ("image", "image_shapes", "labels")
"""Products that the chain itself provides."""


class ChainLoss(StageLoss):
    """The weighted sum of the losses of the stages.

    Args:
        losses: loss of every stage by its name.
        factors: what the loss of a stage is multiplied by in the sum (``trainval.loss_weights``); 1 where not given.

    Raises:
        UserError: a factor of a stage that there is not.
    """

    def __init__(self, losses: Mapping[str, StageLoss], factors: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        for name in factors or {}:
            if name not in losses:
                raise UserError(f"trainval.loss_weights: the chain has no stage '{name}'{nearest(name, losses)}")
        self.factors = {name: (factors or {}).get(name, 1.0) for name in losses}

    def forward(self, products: Mapping[str, Any], labels: Labels) -> dict[str, torch.Tensor]:
        """Return ``loss``, the sum, and the terms of every stage as ``<stage>_<term>``, before their factors."""
        terms: dict[str, torch.Tensor] = {}
        for name, loss in self.losses.items():
            terms.update({f"{name}_{term}": value for term, value in loss(products, labels).items()})
        return {"loss": self.total(terms), **terms}

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
        """Return by stage how much the terms of a batch count beside those of others (:meth:`StageLoss.weight`)."""
        return {name: loss.weight(labels, events) for name, loss in self.losses.items()}


class Chain(nn.Module):
    """Stages in the order in which their products allow.

    Args:
        modules: ``model.modules``: arguments of every stage by name; ``<stage>_loss`` holds those of its loss.
        scheme: numbering of the semantic classes.
        network_input: name of the blob of voxels to reconstruct, first of the list; or of one with graphs of fragments,
            under the name of the product that a stage requires.
        loss_input: names of the blobs of labels.

    Raises:
        UserError: a stage requires a product that none provides, or an argument is unknown.
    """

    Loss: ClassVar[type[StageLoss]] = ChainLoss

    def __init__(
        self,
        modules: Mapping[str, Mapping[str, Any]],
        scheme: ClassScheme,
        network_input: Sequence[str],
        loss_input: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.scheme = scheme
        self.network_input = network_input[0]
        self.loss_input = tuple(loss_input)
        blocks = stage_blocks(modules)
        built = {name: _stage(name, block, scheme) for name, block in blocks.items()}
        self.stages = nn.ModuleDict({name: built[name] for name in running_order(built, self.network_input)})
        self.depth = max(stage.depth for stage in self.stages.values())
        self.frozen: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, model: Mapping[str, Any]) -> Chain:
        """Build the chain of the ``model`` section of a configuration."""
        scheme = class_scheme(model.get("class_scheme", "pilarnet"))
        return cls(model["modules"], scheme, model["network_input"], model.get("loss_input", ()))

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

    def _require_no_image(self) -> None:
        for name, stage in self.stages.items():
            if "image" in stage.requires:
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

    def events(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the (N,) integer event of each voxel of a batch, or of each fragment where it consists of graphs."""
        graph = batch.get(self.network_input)
        return graph.event_of_nodes() if isinstance(graph, GraphBatch) else self.voxels(batch).coordinates[:, 0]

    def labels(self, batch: Mapping[str, Any]) -> Labels:
        """Return the labels of these voxels, as far as the batch tells; graphs hold theirs themselves."""
        given = batch.get("labels")
        if isinstance(given, Labels):
            return given
        if isinstance(batch.get(self.network_input), GraphBatch):
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


def stage_blocks(modules: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the blocks of ``model.modules`` that are stages, without those of their losses."""
    return {name: dict(block or {}) for name, block in modules.items() if not _is_loss(name, modules)}


def _is_loss(name: str, modules: Mapping[str, Any]) -> bool:
    return name.endswith("_loss") and name.removesuffix("_loss") in modules


def chain_loss(model: Mapping[str, Any], factors: Mapping[str, float] | None = None) -> ChainLoss:
    """Build the loss of the chain of a ``model`` section.

    Args:
        model: the section.
        factors: ``trainval.loss_weights``.
    """
    scheme = class_scheme(model.get("class_scheme", "pilarnet"))
    losses = {}
    for name, block in stage_blocks(model["modules"]).items():
        _, loss = construct(block.get("name", name))
        arguments = dict(model["modules"].get(f"{name}_loss") or {})
        losses[name] = _build(loss, f"model.modules.{name}_loss", scheme, arguments)
    return ChainLoss(losses, factors)


def _stage(name: str, block: Mapping[str, Any], scheme: ClassScheme) -> nn.Module:
    stage, _ = construct(block.get("name", name))
    arguments = {key: value for key, value in block.items() if key not in (*BLOCK_OPTIONS, "name")}
    return _build(stage, f"model.modules.{name}", scheme, arguments)


def _build(kind: type[nn.Module], where: str, scheme: ClassScheme, arguments: Mapping[str, Any]) -> nn.Module:
    try:
        return kind(class_scheme=scheme, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error


def running_order(stages: Mapping[str, nn.Module], *given: str) -> list[str]:
    """Return the stages so that each comes after those whose products it requires.

    Raises:
        UserError: a product has no producer.
    """
    order, products, waiting = [], {*GIVEN, *given}, list(stages)
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
