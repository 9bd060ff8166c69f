"""The chain: stages that take products and give products, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from mlreco.errors import UserError, nearest
from mlreco.models.factories import construct
from mlreco.models.labels import Labels, labels_from
from mlreco.models.network_input import sparse_image
from mlreco.models.stage import StageLoss
from mlreco.semantics import ClassScheme, class_scheme
from mlreco.voxels import VoxelBatch

BLOCK_OPTIONS = ("model_path", "model_name", "freeze_weights")
"""Keys of a block that say where its weights come from; the rest are arguments of the stage."""
GIVEN = ("image", "labels")
"""Products that the chain itself provides."""


class ChainLoss(StageLoss):
    """The sum of the losses of the stages.

    Args:
        losses: loss of every stage by its name.
    """

    def __init__(self, losses: Mapping[str, StageLoss]) -> None:
        super().__init__()
        self.losses = nn.ModuleDict(losses)

    def forward(self, products: Mapping[str, Any], labels: Labels) -> dict[str, torch.Tensor]:
        """Return ``loss``, the sum, and the terms of every stage as ``<stage>_<term>``."""
        terms: dict[str, torch.Tensor] = {}
        for name, loss in self.losses.items():
            terms.update({f"{name}_{term}": value for term, value in loss(products, labels).items()})
        return {"loss": sum(terms[f"{name}_loss"] for name in self.losses), **terms}


class Chain(nn.Module):
    """Stages in the order in which their products allow.

    Args:
        modules: ``model.modules``: arguments of every stage by name; ``<stage>_loss`` holds those of its loss.
        scheme: numbering of the semantic classes.
        network_input: name of the blob of voxels to reconstruct, first of the list.
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
        self.stages = nn.ModuleDict({name: built[name] for name in running_order(built)})
        self.depth = max(stage.depth for stage in self.stages.values())
        self.frozen: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, model: Mapping[str, Any]) -> Chain:
        """Build the chain of the ``model`` section of a configuration."""
        scheme = class_scheme(model.get("class_scheme", "pilarnet"))
        return cls(model["modules"], scheme, model["network_input"], model.get("loss_input", ()))

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the products of all stages for a batch of the data loader.

        Returns:
            tensors whose rows are those of the input voxels, and ``image`` and ``labels``.
        """
        voxels = batch.get(self.network_input)
        if not isinstance(voxels, VoxelBatch):
            raise UserError(
                f"model.network_input '{self.network_input}' is not a blob of voxels of iotool.dataset.schema"
            )
        products: dict[str, Any] = {
            "image": sparse_image(voxels, self.depth),
            "labels": labels_from(batch, voxels, self.loss_input),
        }
        for stage in self.stages.values():
            products.update(stage(products))
        return products

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


def chain_loss(model: Mapping[str, Any]) -> ChainLoss:
    """Build the loss of the chain of a ``model`` section."""
    scheme = class_scheme(model.get("class_scheme", "pilarnet"))
    losses = {}
    for name, block in stage_blocks(model["modules"]).items():
        _, loss = construct(block.get("name", name))
        arguments = dict(model["modules"].get(f"{name}_loss") or {})
        losses[name] = _build(loss, f"model.modules.{name}_loss", scheme, arguments)
    return ChainLoss(losses)


def _stage(name: str, block: Mapping[str, Any], scheme: ClassScheme) -> nn.Module:
    stage, _ = construct(block.get("name", name))
    arguments = {key: value for key, value in block.items() if key not in (*BLOCK_OPTIONS, "name")}
    return _build(stage, f"model.modules.{name}", scheme, arguments)


def _build(kind: type[nn.Module], where: str, scheme: ClassScheme, arguments: Mapping[str, Any]) -> nn.Module:
    try:
        return kind(class_scheme=scheme, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error


def running_order(stages: Mapping[str, nn.Module]) -> list[str]:
    """Return the stages so that each comes after those whose products it requires.

    Raises:
        UserError: a product has no producer.
    """
    order, products, waiting = [], set(GIVEN), list(stages)
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
