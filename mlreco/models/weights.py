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
        raise UserError(f"{path}: not a checkpoint of mlreco, or damaged") from error
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


def load_chain_weights(
    chain: Chain,
    modules: Mapping[str, Mapping[str, Any]],
    preferred: str | Path | None = None,
    fallback: str | Path | None = None,
) -> tuple[str, ...]:
    """Load the weights of the stages, and freeze the stages with ``freeze_weights``.

    A stage takes its weights from the first of these that there is: its part of ``preferred``, its own
    ``model_path``, its part of ``fallback``.

    Args:
        chain: the model.
        modules: ``model.modules``; ``model_name`` is the stage's name in its own checkpoint where it differs.
        preferred: checkpoint of a chain that the user asked for (``--weights``).
        fallback: checkpoint of a chain for stages without their own (``trainval.model_path``).

    Returns:
        names of the stages that got weights.

    Raises:
        UserError: a checkpoint lacks a stage that was asked of it, holds none of this chain's, or does not fit.
    """
    blocks = {name: modules[name] or {} for name in chain.stages}
    loaded = _load_parts(chain, list(blocks), preferred)
    for name, block in blocks.items():
        if block.get("model_path") and name not in loaded:
            path, own_name = block["model_path"], block.get("model_name") or name
            parts = _stages(path)
            if own_name not in parts:
                raise UserError(_lacks(path, own_name, parts))
            load_state(chain.stages[name], parts[own_name], f"{path} (stage '{own_name}')")
            loaded.append(name)
    loaded += _load_parts(chain, [name for name in blocks if name not in loaded], fallback)
    chain.freeze([name for name, block in blocks.items() if block.get("freeze_weights")])
    return tuple(loaded)


def _load_parts(chain: Chain, wanted: list[str], path: str | Path | None) -> list[str]:
    """Load those of the wanted stages that a checkpoint of a chain holds, at least one; return their names."""
    if not path or not wanted:
        return []
    parts = _stages(path)
    found = [name for name in wanted if name in parts]
    if not found:
        raise UserError(_lacks(path, wanted[0], parts))
    for name in found:
        load_state(chain.stages[name], parts[name], f"{path} (stage '{name}')")
    return found


def _lacks(path: str | Path, stage: str, parts: Mapping[str, object]) -> str:
    return f"{path}: no weights of a stage '{stage}'; there are: {', '.join(parts) or 'none'}"


def _stages(path: str | Path) -> dict[str, dict[str, torch.Tensor]]:
    """Return the states of the stages that a checkpoint holds, by name."""
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in read_checkpoint(path)["state_dict"].items():
        room, _, rest = name.partition(".")
        stage, _, parameter = rest.partition(".")
        if room == "stages" and parameter:
            parts.setdefault(stage, {})[parameter] = tensor
    return parts
