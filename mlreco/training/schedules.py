"""Schedules of learning rates by their torch names, with one step in each iteration, and the warm-up before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from mlreco.config.torch_names import LENGTHS
from mlreco.errors import UserError
from mlreco.training.optimizers import call, named
from mlreco.training.selection import smaller_is_better


def schedule_of(trainval: Mapping[str, Any], iterations: int) -> dict[str, Any] | None:
    """Return ``trainval.lr_scheduler``, completed with the length of the training and whether lower numbers are better.

    Args:
        trainval: the section of the configuration.
        iterations: of the whole training.
    """
    config = trainval.get("lr_scheduler")
    if config is None:
        return None
    arguments = dict(config.get("args") or {})
    length = LENGTHS.get(config["name"])
    by_epochs = config["name"] == "OneCycleLR" and "epochs" in arguments
    if length is not None and not by_epochs:
        arguments.setdefault(length, iterations)
    if config["name"] == "ReduceLROnPlateau":
        arguments.setdefault("mode", "min" if smaller_is_better(trainval["best"]) else "max")
    return {"name": config["name"], "args": arguments}


def make_scheduler(optimizer: torch.optim.Optimizer, config: Mapping[str, Any] | None) -> Any | None:
    """Build a schedule that is stepped once an iteration, or None.

    Args:
        optimizer: whose learning rate it sets.
        config: ``trainval.lr_scheduler``: ``name`` of a class of ``torch.optim.lr_scheduler`` and its ``args``.

    Raises:
        UserError: an unknown name or argument.
    """
    if config is None:
        return None
    module = torch.optim.lr_scheduler
    kind = named(module, module.LRScheduler, config["name"], "trainval.lr_scheduler.name")
    return call(kind, optimizer, config.get("args") or {}, "trainval.lr_scheduler")


def step_scheduler(scheduler: Any) -> None:
    """Go to the next learning rate, unless the schedule follows the validation.

    Raises:
        UserError: the schedule has ended.
    """
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        return
    try:
        scheduler.step()
    except ValueError as error:
        raise UserError(f"trainval.lr_scheduler: {error}") from error


def follow_validation(scheduler: Any, value: float) -> None:
    """Give the number of a validation to a schedule that follows the validation.

    Args:
        scheduler: any schedule, or None.
        value: the number that is compared.
    """
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        scheduler.step(value)


def warm_up(iteration: int, length: int) -> float:
    """Return the factor of the learning rate in an iteration: (iteration + 1) / length, at most 1.

    Args:
        iteration: number of completed iterations.
        length: iterations of the warm-up, 0 for none.
    """
    return min(1.0, (iteration + 1) / length) if length else 1.0


@contextmanager
def scaled_rates(optimizer: torch.optim.Optimizer, factor: float) -> Iterator[None]:
    """Multiply the learning rates by a factor inside the block; afterwards they are what they were."""
    before = [group["lr"] for group in optimizer.param_groups]
    try:
        for group in optimizer.param_groups if factor != 1.0 else ():
            group["lr"] = group["lr"] * factor
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = rate
