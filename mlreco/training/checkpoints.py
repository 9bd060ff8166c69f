"""Checkpoints: the whole state of a training, written so that a crash leaves the previous one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch.optim.swa_utils import AveragedModel

from mlreco.atomic import make_folder
from mlreco.checkpoints import DataFingerprint, Metadata, Run, metadata_of, read_checkpoint, write_checkpoint
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.models.chain import Chain
from mlreco.models.finite import not_finite
from mlreco.models.weights import load_state
from mlreco.training.content import Content, of_another_kind
from mlreco.training.generators import random_state, restore_random_state
from mlreco.training.selection import Selection
from mlreco.training.settings import difference, named_files, settings_before
from mlreco.version import __version__


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
        seconds_of_run: time spent since the last start.
        seed: of the order of events and their augmentation.
        batches: state of the data loader.
        metadata: metadata of the checkpoint, without those of the running training.
        run: metadata of the running training.
        scaler: gradient scaler for fp16.
        skipped_steps: steps left out since their gradient overflowed in fp16.
        left_out: file, entry and reason of events that could not be read and were skipped.
        average: moving average of the weights, where there is one.
        reports: state of the log.
        selection: the best network so far.
        numbers: of the last validation.
    """

    model: Chain
    optimizer: torch.optim.Optimizer
    scheduler: Any | None = None
    iteration: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    seconds_of_run: float = 0.0
    seed: int = 0
    batches: dict[str, Any] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=Metadata)
    run: Run = field(default_factory=lambda: Run(first_iteration=0, last_iteration=0, started=""))
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler(enabled=False))
    skipped_steps: int = 0
    left_out: list[tuple[str, int, str]] = field(default_factory=list)
    average: AveragedModel | None = None
    reports: dict[str, Any] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    numbers: dict[str, float] = field(default_factory=dict)


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write a checkpoint under a temporary name, synchronise it and rename it.

    Raises:
        UserError: the disk is full or the folder cannot be written, or a weight is not finite.
    """
    make_folder(path.parent)
    weights = _weights(state)
    for name in ("state_dict", "trained_state_dict"):
        damaged = not_finite(weights.get(name, {}))
        if damaged is not None:
            raise UserError(f"{path} is not written: '{damaged}' is not finite after {state.iteration} iterations")
    run = state.run.model_copy(update={"last_iteration": state.iteration, "seconds": state.seconds_of_run})
    told = {"history": (*state.metadata.history, run), "numbers": state.numbers}
    metadata = state.metadata.model_copy(update=told)
    content = {
        **weights,
        "optimizer": state.optimizer.state_dict(),
        "scheduler": state.scheduler.state_dict() if state.scheduler else None,
        "scaler": state.scaler.state_dict(),
        "skipped_steps": state.skipped_steps,
        "left_out": state.left_out,
        "random": random_state(),
        "iteration": state.iteration,
        "epoch": state.epoch,
        "seconds": state.seconds,
        "seed": state.seed,
        "batches": state.batches,
        "reports": state.reports,
        "selection": state.selection.state(),
        "config": metadata.config,
        "mlreco_version": __version__,
        "metadata": metadata.model_dump_json(),
    }
    write_checkpoint(path, content)


def _weights(state: TrainingState) -> dict[str, Any]:
    """Return the weights as a checkpoint holds them: ``state_dict`` is what inference takes, the average if any."""
    if state.average is None:
        return {"state_dict": state.model.state_dict()}
    return {
        "state_dict": state.average.module.state_dict(),
        "trained_state_dict": state.model.state_dict(),
        "averaged_steps": int(state.average.n_averaged),
    }


@dataclass(frozen=True)
class Saved:
    """A checkpoint from which a training can continue.

    Attributes:
        path: the file.
        content: the state.
        metadata: its metadata.
        settings: the settings of its training, as far as they are known.
    """

    path: Path
    content: Content
    metadata: Metadata
    settings: dict[str, Any]


def read_training(path: Path) -> Saved:
    """Return a checkpoint from which a training can continue.

    Raises:
        UserError: the file is damaged or holds weights alone.
    """
    checkpoint = read_checkpoint(path)
    if "optimizer" not in checkpoint:
        raise UserError(f"{path}: holds weights, no training state; start from it with --weights instead of --resume")
    try:
        content = Content.model_validate(checkpoint)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UserError(f"{path}: '{'.'.join(map(str, first['loc']))}': {first['msg']}") from None
    metadata = metadata_of(checkpoint, path)
    return Saved(path, content, metadata, settings_before(checkpoint, metadata.settings))


def restore(saved: Saved, state: TrainingState) -> None:
    """Continue from a checkpoint: weights, optimiser, schedule, counters and random generators.

    Args:
        saved: the checkpoint.
        state: changed.

    Raises:
        UserError: the checkpoint belongs to another model, optimiser or recipe, or to other events.
    """
    path, content = saved.path, saved.content
    _check_same(saved, state)
    load_state(state.model, content.trained_state_dict or content.state_dict, str(path))
    if state.average is not None:
        load_state(state.average.module, content.state_dict, str(path))
        state.average.n_averaged.fill_(content.averaged_steps)
    if (content.scheduler is None) != (state.scheduler is None):
        raise UserError(f"{path}: written {'without' if state.scheduler else 'with'} a trainval.lr_scheduler")
    try:
        scaler = state.scaler if state.scaler.is_enabled() else None
        parts: dict[str, Any] = {"optimizer": state.optimizer, "scheduler": state.scheduler, "scaler": scaler}
        for name, own in parts.items():
            if own is not None:
                wanted, found = own.state_dict(), getattr(content, name)
                own.load_state_dict(found)
                _check_kinds(found, wanted, name)
        _check_optimizer(state.optimizer)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise UserError(f"{path}: its state does not fit trainval.optimizer and trainval.freeze: {error}") from error
    state.skipped_steps, state.iteration = content.skipped_steps, content.iteration
    state.left_out = content.left_out
    state.epoch, state.seconds, state.batches = content.epoch, content.seconds, content.batches.model_dump()
    state.reports = content.reports.model_dump(exclude_none=True)
    state.selection = Selection.from_state(content.selection.model_dump())
    state.numbers = dict(saved.metadata.numbers)
    try:
        restore_random_state(content.random)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise UserError(f"{path}: 'random' is no state of random generators: {error}") from error


def _check_same(saved: Saved, state: TrainingState) -> None:
    """Compare the recipe and the events of a checkpoint with those of now.

    Raises:
        UserError: they differ.
    """
    told = saved.metadata
    what = difference(saved.settings, state.metadata.settings, complete=bool(told.settings))
    before, now = told.data, state.metadata.data
    if not what and before is not None and now is not None and before.digest != now.digest:
        what = f"the events were {before.count} of {_first(before)} and are {now.count} others of {_first(now)} now"
    if what:
        raise UserError(
            f"{saved.path}: {what}; --resume continues with the same settings and events, --weights starts a new "
            f"training from these weights"
        )
    if before is None:
        remark(f"{saved.path}: an older checkpoint, which does not tell its events; they are taken to be the same")
    for key in named_files(saved.settings, state.metadata.settings):
        remark(f"{saved.path}: an older checkpoint, which tells of {key} the file alone; it is taken to be the same")


def _first(data: DataFingerprint) -> str:
    more = f" and {len(data.files) - 1} more files" if len(data.files) > 1 else ""
    return f"{data.files[0]}{more}" if data.files else "no files"


def _check_kinds(found: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> None:
    """Check that a state has numbers where there should be numbers, which torch does not check.

    Raises:
        ValueError: it has something else.
    """
    place = of_another_kind(found, {key: value for key, value in wanted.items() if key != "state"}, name)
    if place:
        raise ValueError(f"'{place}' is of another kind")


def _check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Check that an optimiser's state fits its parameters, which torch does not check.

    Raises:
        ValueError: a tensor has another shape, or numbers that are not finite.
    """
    for parameter, values in optimizer.state.items():
        damaged = not_finite({name: value for name, value in values.items() if isinstance(value, torch.Tensor)})
        if damaged is not None:
            raise ValueError(f"'{damaged}' is not finite")
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(f"'{name}' has the shape {tuple(value.shape)}, its parameter {tuple(parameter.shape)}")
