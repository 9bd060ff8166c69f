"""Loading weights into a model: all tensors must fit, or nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from mlreco.checkpoints import metadata_of, read_checkpoint
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.models.chain import Chain
from mlreco.models.finite import not_finite


@runtime_checkable
class ChecksWeights(Protocol):
    """A stage that checks more of its weights than their shapes."""

    def check_state(self, state: Mapping[str, torch.Tensor], source: str) -> None:
        """Raise a UserError that begins with ``source`` for weights that do not belong to the stage."""


def load_state(module: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load a state that must fit the module exactly; floating point tensors may be of another precision.

    Raises:
        UserError: names, shapes or kinds of numbers differ, or a number is not finite; says the first difference and
            how many there are.
    """
    if isinstance(module, ChecksWeights):
        module.check_state(state, source)
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
    for name, tensor in state.items():
        if tensor.is_floating_point() != own[name].is_floating_point() or tensor.is_complex():
            raise UserError(
                f"{source}: '{name}' holds numbers of type {tensor.dtype}, where {own[name].dtype} is right"
            )
    damaged = not_finite(state)
    if damaged is not None:
        raise UserError(f"{source}: '{damaged}' is not finite: these weights come from a training that went wrong")
    module.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in state.items()})


def load_chain_weights(
    chain: Chain,
    preferred: str | Path | None = None,
    fallback: str | Path | None = None,
    to_train: bool = False,
) -> tuple[str, ...]:
    """Load the weights of the stages, and freeze the stages with ``freeze_weights``.

    A stage takes its weights from the first of these that there is: its part of ``preferred``, its own
    ``model_path``, its part of ``fallback``.

    Args:
        chain: the model; its section names the weights of single stages.
        preferred: checkpoint of a chain that the user asked for (``--weights``).
        fallback: checkpoint of a chain for stages without their own (``trainval.model_path``).
        to_train: whether the weights are the beginning of a training.

    Returns:
        names of the stages that got weights.

    Raises:
        UserError: a checkpoint lacks a stage that was asked of it, holds none of this chain's, does not fit, or comes
            from another class scheme and is not trained further.
    """
    described = {block.name: block for block in chain.section.blocks}
    blocks = {name: described[name] for name in chain.stages}
    frozen = [name for name, block in blocks.items() if block.frozen or not to_train]
    loaded = _load_parts(chain, list(blocks), preferred, frozen)
    for name, block in blocks.items():
        if block.model_path and name not in loaded:
            path, own_name = block.model_path, block.model_name
            parts, scheme = _stages(path)
            if own_name not in parts:
                raise UserError(_lacks(path, own_name, parts))
            _check_scheme(path, scheme, chain, name, name in frozen)
            load_state(chain.stages[name], parts[own_name], f"{path} (stage '{own_name}')")
            loaded.append(name)
    loaded += _load_parts(chain, [name for name in blocks if name not in loaded], fallback, frozen)
    chain.freeze([name for name, block in blocks.items() if block.frozen])
    return tuple(loaded)


def _load_parts(chain: Chain, wanted: list[str], path: str | Path | None, frozen: list[str]) -> list[str]:
    """Load those of the wanted stages that a checkpoint of a chain holds, at least one; return their names."""
    if not path or not wanted:
        return []
    parts, scheme = _stages(path)
    found = [name for name in wanted if name in parts]
    if not found:
        raise UserError(_lacks(path, wanted[0], parts))
    for name in found:
        _check_scheme(path, scheme, chain, name, name in frozen)
        load_state(chain.stages[name], parts[name], f"{path} (stage '{name}')")
    return found


def _lacks(path: str | Path, stage: str, parts: Mapping[str, object]) -> str:
    return f"{path}: no weights of a stage '{stage}'; there are: {', '.join(parts) or 'none'}"


def _check_scheme(path: str | Path, scheme: str, chain: Chain, stage: str, frozen: bool) -> None:
    """Compare the class scheme that weights were trained in with the chain's; a training may change it.

    Raises:
        UserError: they differ, and the weights are used as they are.
    """
    if scheme in ("", chain.scheme.name):
        return
    text = f"{path} (stage '{stage}'): trained in the class scheme '{scheme}', and model.class_scheme is"
    if frozen:
        raise UserError(f"{text} '{chain.scheme.name}': every class would get another's name")
    remark(f"{text} '{chain.scheme.name}': the training has to learn the classes anew")


def _stages(path: str | Path) -> tuple[dict[str, dict[str, torch.Tensor]], str]:
    """Return the states of the stages that a checkpoint holds, by name, and its class scheme, where it tells."""
    checkpoint = read_checkpoint(path)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in checkpoint["state_dict"].items():
        room, _, rest = name.partition(".")
        stage, _, parameter = rest.partition(".")
        if room == "stages" and parameter:
            parts.setdefault(stage, {})[parameter] = tensor
    return parts, metadata_of(checkpoint, path).class_scheme
