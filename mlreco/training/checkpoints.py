"""Checkpoints: the whole state of a training, written so that a crash leaves the previous one."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from mlreco import __version__
from mlreco.atomic import atomic_path, make_folder
from mlreco.errors import UserError
from mlreco.models.weights import load_state, read_checkpoint

BEFORE_IT_EXISTED = {"amp": "off", "tf32": False, "warmup": 0, "loss_weights": {}}
"""Settings of a recipe that older checkpoints do not tell, and what they were."""


@dataclass
class TrainingState:
    """What changes while training, and so what a checkpoint holds.

    Attributes:
        model: the chain.
        optimizer: its optimiser.
        scheduler: its schedule of learning rates, if any.
        iteration: number of completed iterations.
        epoch: passes over the data completed so far.
        seconds: time spent so far.
        seed: of the order of events and their augmentation.
        batches: state of the data loader.
        recipe: the settings that a resumed training must share.
        scaler: of the loss in fp16.
        skipped_steps: steps left out since their gradient overflowed in fp16.
        average: moving average of the weights, where there is one.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any | None = None
    iteration: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    seed: int = 0
    batches: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler(enabled=False))
    skipped_steps: int = 0
    average: AveragedModel | None = None


def random_state() -> dict[str, Any]:
    """Return the states of all global random generators as tensors and plain values."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": [version, list(internal), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Set all global random generators to a state of :func:`random_state`."""
    torch.set_rng_state(state["torch"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def save_checkpoint(path: Path, state: TrainingState, config_text: str) -> None:
    """Write a checkpoint under a temporary name, synchronise it and rename it.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    make_folder(path.parent)
    content = {
        **_weights(state),
        "optimizer": state.optimizer.state_dict(),
        "scheduler": state.scheduler.state_dict() if state.scheduler else None,
        "scaler": state.scaler.state_dict(),
        "skipped_steps": state.skipped_steps,
        "random": random_state(),
        "iteration": state.iteration,
        "epoch": state.epoch,
        "seconds": state.seconds,
        "seed": state.seed,
        "batches": state.batches,
        "recipe": state.recipe,
        "config": config_text,
        "mlreco_version": __version__,
    }
    buffer = io.BytesIO()  # torch, writing to a file itself, hides why a write failed
    torch.save(content, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _weights(state: TrainingState) -> dict[str, Any]:
    """Return the weights as a checkpoint holds them: ``state_dict`` is what inference takes, the average if any."""
    if state.average is None:
        return {"state_dict": state.model.state_dict()}
    return {
        "state_dict": state.average.module.state_dict(),
        "trained_state_dict": state.model.state_dict(),
        "averaged_steps": int(state.average.n_averaged),
    }


def _restore_weights(path: Path, checkpoint: Mapping[str, Any], state: TrainingState) -> None:
    load_state(state.model, checkpoint.get("trained_state_dict", checkpoint["state_dict"]), str(path))
    if state.average is not None:
        load_state(state.average.module, checkpoint["state_dict"], str(path))
        state.average.n_averaged.fill_(checkpoint["averaged_steps"])


def read_training(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint from which a training can continue.

    Raises:
        UserError: the file is damaged or holds weights alone.
    """
    checkpoint = read_checkpoint(path)
    if "optimizer" not in checkpoint:
        raise UserError(f"{path}: holds weights, no training state; start from it with --weights instead of --resume")
    return checkpoint


def restore(path: Path, checkpoint: Mapping[str, Any], state: TrainingState) -> None:
    """Continue from a checkpoint: weights, optimiser, schedule, counters and random generators.

    Args:
        path: the file, for messages.
        checkpoint: what :func:`read_training` returned.
        state: changed.

    Raises:
        UserError: the checkpoint belongs to another model, optimiser or recipe.
    """
    for key, value in state.recipe.items():
        before = checkpoint["recipe"].get(key, BEFORE_IT_EXISTED.get(key))
        if before != value:
            raise UserError(
                f"{path}: trainval.{key} was {before} and is {value} now; --resume continues with the same settings, "
                f"--weights starts a new training from these weights"
            )
    _restore_weights(path, checkpoint, state)
    try:
        state.optimizer.load_state_dict(checkpoint["optimizer"])
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}: its state does not fit trainval.optimizer and trainval.freeze: {error}") from error
    if (checkpoint["scheduler"] is None) != (state.scheduler is None):
        raise UserError(f"{path}: written {'without' if state.scheduler else 'with'} a trainval.lr_scheduler")
    if state.scheduler:
        state.scheduler.load_state_dict(checkpoint["scheduler"])
    if state.scaler.is_enabled():
        state.scaler.load_state_dict(checkpoint["scaler"])
    state.skipped_steps = checkpoint.get("skipped_steps", 0)
    state.iteration, state.epoch = checkpoint["iteration"], checkpoint["epoch"]
    state.seconds = checkpoint["seconds"]
    state.batches = checkpoint["batches"]
    restore_random_state(checkpoint["random"])


def checkpoint_path(weight_prefix: str, iteration: int) -> Path:
    """Return the name of the checkpoint after so many iterations."""
    return Path(f"{weight_prefix}-{iteration}.ckpt")


def _checkpoints(weight_prefix: str) -> list[tuple[int, Path]]:
    """Return iteration and path of the checkpoints of a prefix."""
    prefix = Path(weight_prefix)
    pattern = re.compile(re.escape(prefix.name) + r"-(\d+)\.ckpt")
    return [(int(match[1]), path) for path in prefix.parent.glob("*.ckpt") if (match := pattern.fullmatch(path.name))]


def refuse_to_overwrite(weight_prefix: str) -> None:
    """Check that a new training finds no checkpoints of an earlier one under its names.

    Raises:
        UserError: it does.
    """
    found = _checkpoints(weight_prefix)
    if found:
        raise UserError(
            f"{max(found)[1]}: from an earlier training; continue it with --resume, or choose another "
            f"trainval.weight_prefix"
        )


def latest_checkpoint(weight_prefix: str) -> Path:
    """Return the checkpoint of the highest iteration.

    Raises:
        UserError: there is none.
    """
    found = _checkpoints(weight_prefix)
    if not found:
        raise UserError(f"nothing to resume: no checkpoint {weight_prefix}-<iteration>.ckpt (trainval.weight_prefix)")
    return max(found)[1]
