"""Finds the events of a batch with which loss or gradients are not finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mlreco.iotools.collate import Batch, one_event
from mlreco.models.chain import Chain, ChainLoss
from mlreco.models.finite import not_finite
from mlreco.models.layers.precision import autocast
from mlreco.models.transfer import to_device


def events_at_fault(parts: Sequence[Batch], chain: Chain, loss: ChainLoss, amp: str) -> list[int]:
    """Return the events that alone, too, give a loss, running statistics or a gradient that is not finite.

    Each event is trained on alone, and nothing of it is kept: weights, gradients, running statistics and random
    generators are afterwards as they were.

    Args:
        parts: minibatches, on the CPU; the running statistics are those of before.
        chain: the network, in training.
        loss: what is minimised.
        amp: ``trainval.amp``.

    Returns:
        their places in the batch; none if no event fails alone, or if each of several does, as with weights that are
        too large.
    """
    device = next(chain.parameters()).device
    events = [(part, number) for part in parts for number in range(len(part["index"]))]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        failed = [_fails(to_device(one_event(*event), device), chain, loss, amp) for event in events]
    return [place for place, fails in enumerate(failed) if fails] if not all(failed) or len(failed) == 1 else []


def _fails(batch: Mapping[str, Any], chain: Chain, loss: ChainLoss, amp: str) -> bool:
    """Tell whether a batch gives numbers that are not finite; the running statistics stay as they were."""
    buffers = dict(chain.named_buffers())
    before = {name: buffer.clone() for name, buffer in buffers.items()}
    weights = {name: weight for name, weight in chain.named_parameters() if weight.requires_grad}
    try:
        with autocast(amp, next(chain.parameters()).device):
            products = chain(batch)
        value = loss(products, products["labels"])["loss"]
        if not value.isfinite() or not_finite(buffers) is not None:
            return True
        if not value.requires_grad:
            return False
        gradients = zip(weights, torch.autograd.grad(value, list(weights.values()), allow_unused=True), strict=True)
        return not_finite({name: gradient for name, gradient in gradients if gradient is not None}) is not None
    finally:
        with torch.no_grad():
            for name, buffer in buffers.items():
                buffer.copy_(before[name])
