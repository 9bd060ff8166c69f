"""Loading weights into a model: every tensor finds its place, or nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlreco.errors import UserError
from mlreco.models.chain import Chain


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the content of a checkpoint file, tensors on the CPU.

    Only tensors and plain values are unpickled, so a checkpoint cannot run code.

    Raises:
        UserError: the file is missing, damaged or no checkpoint of this program.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not a checkpoint of mlreco, or damaged ({reason[:120]})") from error
    if not isinstance(checkpoint, Mapping) or "state_dict" not in checkpoint:
        raise UserError(f"{path}: not a checkpoint of mlreco: it has no 'state_dict'")
    return dict(checkpoint)


def load_state(module: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load a state that must fit the module exactly; floating point tensors may be of another precision.

    Raises:
        UserError: names or shapes differ; says the first difference and how many there are.
    """
    own = module.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    if shapes:
        name = shapes[0]
        raise UserError(
            f"{source}: weights of another architecture: '{name}' is {tuple(state[name].shape)} there and "
            f"{tuple(own[name].shape)} in this model ({len(shapes)} tensors differ in shape)"
        )
    if missing or extra:
        first = f"it lacks '{missing[0]}'" if missing else f"it has '{extra[0]}', which this model lacks"
        raise UserError(
            f"{source}: weights of another architecture: {first} ({len(missing)} missing, {len(extra)} unknown)"
        )
    module.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in state.items()})


def load_stage_weights(chain: Chain, modules: Mapping[str, Mapping[str, Any]]) -> None:
    """Load the weights of every block that has a ``model_path``, and freeze those with ``freeze_weights``.

    Args:
        chain: the model.
        modules: ``model.modules``; ``model_name`` is the stage's name in the checkpoint where it differs.

    Raises:
        UserError: the checkpoint has no such stage, or another architecture.
    """
    for name, stage in chain.stages.items():
        block = modules[name] or {}
        if block.get("model_path"):
            _load_stage(stage, block["model_path"], block.get("model_name") or name)
    chain.freeze([name for name in chain.stages if (modules[name] or {}).get("freeze_weights")])


def _load_stage(stage: nn.Module, path: str, stage_name: str) -> None:
    state = read_checkpoint(path)["state_dict"]
    prefix = f"stages.{stage_name}."
    part = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not part:
        present = sorted({name.split(".")[1] for name in state if name.startswith("stages.") and "." in name})
        raise UserError(f"{path}: no weights of a stage '{stage_name}'; there are: {', '.join(present) or 'none'}")
    load_state(stage, part, f"{path} (stage '{stage_name}')")
