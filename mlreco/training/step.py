"""A step of the optimiser: backward pass, gradient scaling in fp16, gradient clipping, update of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from mlreco.training.checkpoints import TrainingState
from mlreco.training.schedules import scaled_rates, step_scheduler


@dataclass(frozen=True)
class Step:
    """The outcome of a step of the optimiser.

    Attributes:
        sound: whether the training may go on: False for a gradient that no scale makes finite, and then nothing has
            changed.
        norm: of the gradient, without the scale and before clipping; NaN where there was no gradient.
    """

    sound: bool = True
    norm: float = math.nan


def make_scaler(amp: str, device: torch.device) -> torch.amp.GradScaler:
    """Return the gradient scaler for fp16, which keeps small gradients from becoming 0; for others it has no effect.

    The loss is multiplied by a scale that halves whenever a gradient overflows and doubles after 2000 steps without.

    Args:
        amp: ``off``, ``fp16`` or ``bf16``.
        device: of the network.
    """
    return torch.amp.GradScaler(device.type, enabled=amp == "fp16")


def optimize(
    state: TrainingState,
    losses: Iterable[torch.Tensor],
    max_norm: float | None = None,
    rate_factor: float = 1.0,
    sound: Callable[[], bool] = lambda: True,
) -> Step:
    """Change the weights, unless the gradient is not finite.

    In fp16 such a step is left out, counted in ``state.skipped_steps`` and the scale is lowered, as long as the scale
    may be the reason.

    Args:
        state: the training; its scaler, optimiser, schedule and average are used.
        losses: () each, what is minimised is their sum; each is computed after the backward pass of the one before.
            Nothing is learned from those without a graph.
        max_norm: gradients (as they are without the scale) are scaled down to this norm where theirs is larger.
        rate_factor: of the learning rate in this step.
        sound: called after the last loss; returns whether all losses were finite.
    """
    state.optimizer.zero_grad(set_to_none=True)
    learned = False
    for loss in losses:
        if loss.requires_grad:
            state.scaler.scale(loss).backward()
            learned = True
    norm = math.nan
    if not sound():
        return Step(False, norm)
    if learned:
        scaler = state.scaler
        scaler.unscale_(state.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), max_norm or math.inf).item()
        if not math.isfinite(norm):
            if not scaler.is_enabled() or scaler.get_scale() <= 1.0:
                return Step(False, norm)
            state.skipped_steps += 1
            scaler.update(scaler.get_scale() * scaler.get_backoff_factor())
            return Step(True, norm)
        with scaled_rates(state.optimizer, rate_factor):
            scaler.step(state.optimizer)
        scaler.update()
        if state.average is not None:
            state.average.update_parameters(state.model)
    if state.scheduler:
        step_scheduler(state.scheduler)
    return Step(True, norm)
