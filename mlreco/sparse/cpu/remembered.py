"""What inference makes of a layer's weights, made once and again when they change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")
_counting = threading.Lock()


@dataclass
class _Made:
    """Something made of tensors.

    Attributes:
        thing: what was made.
        copies: of the tensors it was made of; without any, it is valid in its scope alone.
        scope: the ``unchanging`` block in which it was made or last compared.
    """

    thing: Any
    copies: list[torch.Tensor]
    scope: object | None

    def is_of(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Tell whether these tensors have, bit for bit, the numbers that it was made of."""
        return bool(self.copies) and all(
            tensor.dtype == copy.dtype and torch.equal(_bits(tensor), _bits(copy))
            for tensor, copy in zip(tensors, self.copies, strict=True)
        )


@dataclass
class _Memory:
    """Of one layer: a copy of the layer, also in another process, begins without."""

    made: dict[Hashable, _Made] = field(default_factory=dict)
    scope: object | None = None
    blocks: int = 0

    def __reduce__(self) -> tuple[type, tuple]:
        return _Memory, ()


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return float32 numbers as integers: equal where they are the same number, NaN included."""
    tensor = tensor.detach()
    return tensor.view(torch.int32) if tensor.dtype == torch.float32 else tensor


def _memory(layer: nn.Module) -> _Memory:
    return layer.__dict__.setdefault("_made_for_inference", _Memory())


@contextmanager
def unchanging(model: nn.Module) -> Iterator[None]:
    """Promise that nothing of a model changes inside the block: neither its numbers nor its modules nor their hooks.

    What inference makes of the weights is then compared with them, bit for bit, at its first use in the block alone.
    Otherwise it is compared at every use, a tenth of the time that the image of a small event takes: torch does not
    tell of all changes (``parameter.data``, memory shared with numpy or other processes, fused optimisers).
    Several threads may be in such blocks.
    """
    memories = [_memory(layer) for layer in model.modules()]
    with _counting:
        scope = object()
        for memory in memories:
            memory.blocks += 1
            memory.scope = memory.scope or scope
    try:
        yield
    finally:
        with _counting:
            for memory in memories:
                memory.blocks -= 1
                if not memory.blocks:
                    memory.scope = None


def remembered(layer: nn.Module, purpose: Hashable, tensors: Sequence[torch.Tensor], make: Callable[[], T]) -> T:
    """Return what is made of a layer's tensors, from the layer's memory as long as they hold the same numbers.

    Args:
        layer: whose memory it is.
        purpose: tells the things apart that are made of the same layer, with all that goes into them beside tensors.
        tensors: all that go into it; without any, it is remembered inside an ``unchanging`` block alone.
        make: makes it.
    """
    memory = _memory(layer)
    known, scope = memory.made.get(purpose), memory.scope
    if known is not None:
        if scope is not None and known.scope is scope:
            return known.thing
        if known.is_of(tensors):
            known.scope = scope
            return known.thing
    copies = [tensor.detach().clone() for tensor in tensors]
    memory.made[purpose] = made = _Made(make(), copies, scope)
    return made.thing
