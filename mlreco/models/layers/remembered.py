"""What inference makes of a layer's weights, made once and again when they change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch
from torch import nn

T = TypeVar("T")


class _Memory(dict):
    """Of one layer: a copy of the layer, also in another process, begins without."""

    def __reduce__(self) -> tuple[type, tuple]:
        return _Memory, ()


class Remembering(nn.Module):
    """A module that forgets what was made of its layers' weights when training begins again.

    Some optimisers change weights without telling (the fused ones do not count it as a new version).
    """

    def train(self, mode: bool = True) -> Remembering:
        """Set training or evaluation mode."""
        if mode:
            for layer in self.modules():
                layer.__dict__.pop("_made_for_inference", None)
        return super().train(mode)


def remembered(layer: nn.Module, purpose: Hashable, tensors: Sequence[torch.Tensor], make: Callable[[], T]) -> T:
    """Return what is made of a layer's tensors, from the layer's memory as long as they stay as they are.

    The memory keeps the storage of the tensors, so that no other tensor can be taken for one of them.

    Args:
        layer: whose memory it is; part of a :class:`Remembering` module.
        purpose: tells the things apart that are made of the same layer, with all that goes into them beside tensors.
        tensors: all that go into it.
        make: makes it.
    """
    if any(tensor.is_inference() for tensor in tensors):  # these do not count their versions
        return make()
    stamp = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
    memory = layer.__dict__.setdefault("_made_for_inference", _Memory())
    known = memory.get(purpose)
    if known is None or known[0] != stamp:
        known = memory[purpose] = (stamp, make(), [tensor.detach() for tensor in tensors])
    return known[1]
