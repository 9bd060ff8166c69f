"""Which modules may be computed together, without being called one by one.

Code that computes several layers at once knows what these layers do as they are made here. A layer that was exchanged
for another, one that somebody watches with hooks, one with another type of numbers or a forward of its own has to be
called. Every layer tells of itself, with ``is_as_made``.
"""

from __future__ import annotations

from typing import TypeGuard, TypeVar

import torch
from torch import nn
from torch.nn.modules import module as torch_module

M = TypeVar("M", bound=nn.Module)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def all_are_watched() -> bool:
    """Tell whether somebody has hooks on all modules of the process."""
    return torch_module._has_any_global_hook()


def is_own(module: nn.Module, kind: type[M]) -> TypeGuard[M]:
    """Tell whether a module is exactly of a kind, does what that kind does, and nobody watches it alone.

    Its parameters are ordinary ones on the CPU.
    """
    if type(module) is not kind or "forward" in module.__dict__ or any(getattr(module, hooks) for hooks in _HOOKS):
        return False
    return all(
        tensor is None or (type(tensor) in (nn.Parameter, torch.Tensor) and tensor.is_cpu)
        for tensor in module._parameters.values()
    )


def is_made(module: nn.Module, kind: type[M]) -> TypeGuard[M]:
    """Tell whether a module is exactly of a kind, and is as that kind is made."""
    return type(module) is kind and module.is_as_made()


def is_list_of(modules: nn.Module, kind: type[nn.ModuleList] | type[nn.Sequential], member: type[nn.Module]) -> bool:
    """Tell whether a container is exactly of a kind, nobody watches it, and its members are as they are made."""
    return is_own(modules, kind) and all(is_made(module, member) for module in modules)


def is_linear(layer: nn.Module) -> bool:
    """Tell whether a module is a linear layer without bias and with a float32 weight."""
    return is_own(layer, nn.Linear) and layer.bias is None and layer.weight.dtype == torch.float32
