"""From a loss to changed weights: backward pass, scaling of the gradient in fp16, its limit, the optimiser."""

from __future__ import annotations

import math

import torch

from mlreco.training.checkpoints import TrainingState
from mlreco.training.optimizers import step_scheduler


def make_scaler(amp: str, device: torch.device) -> torch.amp.GradScaler:
    """Return what keeps small gradients from becoming 0 in fp16; without effect for other values of ``trainval.amp``.

    The loss is multiplied by a scale that halves whenever a gradient overflows and doubles after 2000 steps without.

    Args:
        amp: ``off``, ``fp16`` or ``bf16``.
        device: of the network.
    """
    return torch.amp.GradScaler(device.type, enabled=amp == "fp16")


def optimize(state: TrainingState, loss: torch.Tensor, max_norm: float | None = None) -> bool:
    """Change the weights, unless the gradient is not finite.

    In fp16 such a step is left out, counted in ``state.skipped_steps`` and the scale is lowered, as long as the scale
    may be the reason.

    Args:
        state: the training; its scaler, optimiser and schedule are used.
        loss: () what is minimised; without a graph nothing is learned from it.
        max_norm: gradients (as they are without the scale) are scaled down to this norm where theirs is larger.

    Returns:
        whether the training may go on: False for a gradient that no scale makes finite, and then nothing has changed.
    """
    state.optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:
        scaler = state.scaler
        scaler.scale(loss).backward()
        scaler.unscale_(state.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), max_norm or math.inf)
        if not torch.isfinite(norm):
            if not scaler.is_enabled() or scaler.get_scale() <= 1.0:
                return False
            state.skipped_steps += 1
            scaler.update(scaler.get_scale() * scaler.get_backoff_factor())
            return True
        scaler.step(state.optimizer)
        scaler.update()
    if state.scheduler:
        step_scheduler(state.scheduler)
    return True
