"""Optimisers and schedules by the names of their torch classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlreco.config.merge import Tree
from mlreco.config.signature import Parameters
from mlreco.errors import UserError, nearest

LENGTHS = {"CosineAnnealingLR": "T_max", "OneCycleLR": "total_steps", "PolynomialLR": "total_iters"}
"""Schedules that run once over the training, and their argument for its length: all iterations, where not given."""


def check_torch_names(trainval: Mapping[str, Any], tree: Tree) -> None:
    """Check ``trainval.optimizer`` and ``trainval.lr_scheduler``: the names and the arguments.

    Raises:
        UserError: torch has no such class, or the class does not take such an argument.
    """
    from torch import optim

    _check("optimizer", trainval["optimizer"], optim, optim.Optimizer, ("params",), tree)
    if trainval["lr_scheduler"] is not None:
        base = optim.lr_scheduler.LRScheduler
        _check("lr_scheduler", trainval["lr_scheduler"], optim.lr_scheduler, base, ("optimizer",), tree)


def _check(key: str, call: Mapping[str, Any], module: Any, base: type, given: tuple[str, ...], tree: Tree) -> None:
    path = ("trainval", key)
    name = call["name"]
    classes = {word: kind for word, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, base)}
    if name not in classes or classes[name] is base:
        hint = nearest(name, [word for word, kind in classes.items() if kind is not base])
        raise UserError(f"{tree.place((*path, 'name'))}: trainval.{key}.name: torch has no such class '{name}'{hint}")
    filled_in = {LENGTHS[name]: 1} if name in LENGTHS else {}
    problem = Parameters.of(classes[name], given).problem({**filled_in, **call["args"]})
    if problem:
        where = (*path, "args", problem[0])
        raise UserError(f"{tree.place(where)}: {'.'.join(where)}: {problem[1]}")
