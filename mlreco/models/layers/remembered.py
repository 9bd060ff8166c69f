"""What inference makes of a layer's weights, made once and again when they change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch
from torch import nn

T = TypeVar("T")


def remembered(layer: nn.Module, purpose: Hashable, tensors: Sequence[torch.Tensor], make: Callable[[], T]) -> T:
    """Return what is made of a layer's tensors, from the layer's memory as long as they stay as they are.

    The memory keeps the storage of the tensors, so that no other tensor can be taken for one of them.

    Args:
        layer: whose memory it is.
        purpose: tells the things apart that are made of the same layer.
        tensors: all that goes into it.
        make: makes it.
    """
    stamp = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
    memory = layer.__dict__.setdefault("_made_for_inference", {})
    known = memory.get(purpose)
    if known is None or known[0] != stamp:
        known = memory[purpose] = (stamp, make(), [tensor.detach() for tensor in tensors])
    return known[1]
