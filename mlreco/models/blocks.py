"""The stages, losses and weights that the section ``model`` of a configuration describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlreco.semantics import ClassScheme, class_scheme

NAME = "name"
"""Key of a block with the name of its stage, where the block has another name."""
WEIGHT_KEYS = ("model_path", "model_name", "freeze_weights")
"""Keys of a block for the weights of its stage; all others are arguments of the stage."""
BLOCK_KEYS = (NAME, *WEIGHT_KEYS)
LOSS_SUFFIX = "_loss"
"""Block ``spice_loss`` holds the arguments of the loss of block ``spice``."""


@dataclass(frozen=True)
class StageBlock:
    """A stage of the chain.

    Attributes:
        name: of its block.
        stage: name that `mlreco.models.factories.construct` knows.
        arguments: of the stage.
        loss_arguments: of its loss.
        model_path: checkpoint with its weights, empty for none.
        model_name: name of the stage in that checkpoint.
        frozen: whether it keeps its weights in training.
    """

    name: str
    stage: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    loss_arguments: Mapping[str, Any] = field(default_factory=dict)
    model_path: str = ""
    model_name: str = ""
    frozen: bool = False


@dataclass(frozen=True)
class ModelSection:
    """The chain that a configuration describes.

    Attributes:
        scheme: numbering of the semantic classes.
        blocks: its stages, in the order of the configuration.
        network_input: name of the blob to reconstruct.
        loss_input: names of the blobs of labels.
    """

    scheme: ClassScheme
    blocks: tuple[StageBlock, ...]
    network_input: str
    loss_input: tuple[str, ...] = ()

    @classmethod
    def read(cls, model: Mapping[str, Any]) -> ModelSection:
        """Read a checked section ``model``."""
        return cls(
            scheme=class_scheme(model.get("class_scheme", "pilarnet")),
            blocks=read_blocks(model["modules"]),
            network_input=model["network_input"][0],
            loss_input=tuple(model.get("loss_input", ())),
        )


def read_blocks(modules: Mapping[str, Mapping[str, Any] | None]) -> tuple[StageBlock, ...]:
    """Return the stages of ``model.modules``, each with the arguments of its loss."""
    return tuple(
        _stage_block(name, block or {}, modules.get(f"{name}{LOSS_SUFFIX}") or {})
        for name, block in modules.items()
        if not is_loss(name, modules)
    )


def is_loss(name: str, modules: Mapping[str, Any]) -> bool:
    """Tell whether a block holds the arguments of the loss of another."""
    return name.endswith(LOSS_SUFFIX) and name.removesuffix(LOSS_SUFFIX) in modules


def _stage_block(name: str, block: Mapping[str, Any], loss: Mapping[str, Any]) -> StageBlock:
    return StageBlock(
        name=name,
        stage=block.get(NAME) or name,
        arguments={key: value for key, value in block.items() if key not in BLOCK_KEYS},
        loss_arguments=dict(loss),
        model_path=block.get("model_path") or "",
        model_name=block.get("model_name") or name,
        frozen=bool(block.get("freeze_weights")),
    )
