"""Section ``model``: the chain of stages. The keys of a stage's block are checked against the stage itself."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mlreco.config.sections.base import Names, Section


class Model(Section):
    """The networks.

    Attributes:
        name: ``chain``, or the name of the only stage.
        class_scheme: numbering of semantic classes in the labels and in the output.
        modules: name of a block -> arguments of its stage, and ``model_path``, ``model_name``, ``freeze_weights``.
        network_input: entries of `iotool.dataset.schema` that the first stage gets.
        loss_input: entries of `iotool.dataset.schema` that the losses get.
    """

    name: str = "chain"
    class_scheme: str = "pilarnet"
    modules: Annotated[dict[str, dict[str, Any] | None], Field(min_length=1)]
    network_input: Annotated[Names, Field(min_length=1)]
    loss_input: Names = []
