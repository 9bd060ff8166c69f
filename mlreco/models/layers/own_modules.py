"""Which modules may be computed together, without being called one by one.

Code that computes several layers at once knows what these layers do as they are made here. A layer that was exchanged
for another, one that somebody watches with hooks, one with another type of numbers or a forward of its own has to be
called.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from mlreco.models.layers.norm import VoxelBatchNorm
from mlreco.models.layers.sparse import SparseConv3d, SparseInverseConv3d, SubMConv3d

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
CONVOLUTIONS = (SubMConv3d, SparseConv3d, SparseInverseConv3d)


def nobody_watches_all() -> bool:
    """Tell whether there are no hooks on all modules of the process."""
    return not torch_module._has_any_global_hook()


def is_own(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Tell whether a module is exactly of a kind, does what that kind does, and nobody watches it alone."""
    if type(module) is not kind or "forward" in module.__dict__ or any(getattr(module, hooks) for hooks in _HOOKS):
        return False
    return all(
        tensor is None or (type(tensor) in (nn.Parameter, torch.Tensor) and tensor.is_cpu)
        for tensor in module._parameters.values()
    )


def is_own_norm(norm: nn.Module) -> bool:
    """Tell whether a module normalises with float32 parameters and running statistics of its own."""
    if not is_own(norm, VoxelBatchNorm):
        return False
    numbers = norm.weight, norm.bias, norm.running_mean, norm.running_var
    return norm.momentum is not None and all(n is not None and n.dtype == torch.float32 for n in numbers)


def is_own_convolution(layer: nn.Module, *kinds: type[nn.Module], bias: bool = False) -> bool:
    """Tell whether a module is a sparse convolution of one of the kinds with a float32 weight of the right shape.

    Args:
        layer: the module.
        kinds: of convolutions.
        bias: whether it may have one.
    """
    if not any(is_own(layer, kind) for kind in kinds) or layer.weight.dtype != torch.float32:
        return False
    edge = layer.kernel_size
    if layer.weight.shape != (layer.out_channels, edge, edge, edge, layer.in_channels):
        return False
    if layer.bias is None:
        return True
    return bias and layer.bias.dtype == torch.float32 and layer.bias.shape == (layer.out_channels,)


def is_own_linear(layer: nn.Module) -> bool:
    """Tell whether a module is a linear layer without bias and with a float32 weight."""
    return is_own(layer, nn.Linear) and layer.bias is None and layer.weight.dtype == torch.float32


def are_own(modules: nn.ModuleList | nn.Sequential, kind: type[nn.Module], test: Callable[[nn.Module], bool]) -> bool:
    """Tell whether a container is exactly of a kind, nobody watches it, and all that it holds pass a test."""
    return is_own(modules, kind) and all(test(module) for module in modules)
