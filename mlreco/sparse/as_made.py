"""Which modules may be computed together instead of being called one by one.

An engine that computes a residual block or a whole network in one go relies on every layer in it doing exactly what its
class in this package does. That is not so where a user has replaced a layer, registered hooks on it, given it a
``forward`` of its own, or changed the type of its parameters; such a layer must be called. The method ``is_as_made`` of
each layer tells whether the engine may rely on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeGuard, TypeVar

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module

CPU_DEVICE = torch.device("cpu")


class Checked(Protocol):
    """A layer that tells whether the engine may rely on it."""

    def is_as_made(self, device: torch.device = CPU_DEVICE) -> bool:
        """Tell whether the output of the layer may be computed there without calling the layer."""


M = TypeVar("M", bound=nn.Module)
C = TypeVar("C", bound=Checked)
_ORDINARY = (nn.Parameter, torch.Tensor)
_METHODS = frozenset({"forward", "by_parts", "target", "kernel_major_weight"})
"""Methods that a user may have replaced in one layer, and that an engine does not call."""


def all_are_watched() -> bool:
    """Tell whether hooks are registered that torch calls for every module of the process."""
    return torch_module._has_any_global_hook()


def tangents_flow() -> bool:
    """Tell whether forward-mode differentiation (dual numbers) is on; ``torch.no_grad`` does not switch it off."""
    return forward_ad._current_level >= 0


def is_own(module: object, kind: type[M], device: torch.device = CPU_DEVICE) -> TypeGuard[M]:
    """Tell whether a module is of exactly this class, not of a subclass, and has no hooks and no replaced methods.

    Its parameters must also be ordinary tensors on this device.
    """
    state = module.__dict__
    if type(module) is not kind or not _METHODS.isdisjoint(state):
        return False
    if (
        state["_forward_hooks"]
        or state["_forward_pre_hooks"]
        or state["_backward_hooks"]
        or state["_backward_pre_hooks"]
    ):
        return False
    for tensor in state["_parameters"].values():  # no generator: it takes twice the time, and a step asks 250 layers
        if tensor is not None and not (type(tensor) in _ORDINARY and tensor.device == device):
            return False
    return True


def is_made(module: object, kind: type[C], device: torch.device = CPU_DEVICE) -> TypeGuard[C]:
    """Tell whether a module is of exactly this class of the package, and its ``is_as_made`` returns True."""
    return type(module) is kind and module.is_as_made(device)


def is_list_of(
    modules: Iterable[object], kind: type[nn.Module], member: type[Checked], device: torch.device = CPU_DEVICE
) -> bool:
    """Tell whether a container is of exactly this class, has no hooks, and ``is_made`` holds for all its members."""
    container: object = modules
    return is_own(container, kind, device) and all(is_made(module, member, device) for module in modules)


def is_linear(layer: nn.Module, device: torch.device = CPU_DEVICE) -> bool:
    """Tell whether a module is a linear layer without bias and with a parameter of float32 as its weight."""
    if not is_own(layer, nn.Linear, device) or layer.bias is not None:
        return False
    weight = layer._parameters.get("weight")
    return weight is not None and weight.dtype == torch.float32
