"""Optimisers by their torch names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from mlreco.errors import UserError, nearest

UNSUITABLE = {
    "LBFGS": "evaluates the loss several times a step, which this training does not",
    "SparseAdam": "needs sparse gradients, which these networks do not have",
}


def make_optimizer(model: nn.Module, config: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Build an optimiser of the parameters that are not frozen.

    Args:
        model: the chain.
        config: ``trainval.optimizer``: ``name`` of a class of ``torch.optim`` and its ``args``.

    Raises:
        UserError: an unknown name or argument, or nothing left to train.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise UserError("trainval.freeze and freeze_weights leave no parameter to train")
    if config["name"] in UNSUITABLE:
        raise UserError(f"trainval.optimizer.name: {config['name']} {UNSUITABLE[config['name']]}")
    kind = named(torch.optim, torch.optim.Optimizer, config["name"], "trainval.optimizer.name")
    return call(_without_compiler(kind), parameters, config.get("args") or {}, "trainval.optimizer")


def _without_compiler(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Return a class of optimisers without the decorators that tell ``torch.compile`` what to leave alone.

    At their first call these import all of torch's compiler: 1.1 s of CPU time, where a training needs 2.7 s to start
    and make a step. The undecorated methods are the ones that torch defines.
    """
    plain_step = inspect.unwrap(kind.step)

    def step(self: torch.optim.Optimizer, closure: Callable[[], float] | None = None) -> float | None:
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            return plain_step(self, closure)

    names = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    return type(kind.__name__, (kind,), {"step": step, **{name: inspect.unwrap(getattr(kind, name)) for name in names}})


def named(module: Any, base: type, name: str, key: str) -> type:
    """Return a class of a module by its name.

    Args:
        module: where it is.
        base: what it is a subclass of.
        name: its name.
        key: of the configuration, for the message.

    Raises:
        UserError: there is none.
    """
    kinds = {n: kind for n, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, base)}
    if name not in kinds or kinds[name] is base:
        raise UserError(f"{key}: torch has no '{name}'{nearest(name, kinds)}")
    return kinds[name]


def call(kind: type, target: Any, arguments: Mapping[str, Any], key: str) -> Any:
    """Return ``kind(target, **arguments)``.

    Raises:
        UserError: the arguments do not suit.
    """
    try:
        return kind(target, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}: {error}") from error
