"""Choice of the code that computes a sparse convolution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import nn

from mlreco.models.layers.sparse import plain
from mlreco.models.layers.sparse.cpu import backend as compiled

_forced: ModuleType | None = None


def uses_spconv(features: torch.Tensor) -> bool:
    """Tell whether convolutions of these features are spconv's: those of features on a CUDA device."""
    return features.is_cuda


def backend(features: torch.Tensor) -> ModuleType:
    """Return the module with ``conv_forward`` and its gradients for these features on the CPU."""
    if _forced is not None:
        return _forced
    return compiled if compiled.supports(features) else plain


def is_compiled(features: torch.Tensor) -> bool:
    """Tell whether the compiled CPU engine computes with these features."""
    return not uses_spconv(features) and backend(features) is compiled


def is_inference(module: nn.Module, features: torch.Tensor) -> bool:
    """Tell whether the compiled engine computes a module in evaluation mode, without gradients and autocast."""
    recorded = module.training or torch.is_grad_enabled() or torch.is_autocast_enabled(features.device.type)
    return not recorded and is_compiled(features)


@contextmanager
def use_backend(module: ModuleType) -> Iterator[None]:
    """Compute with the given backend inside the block; for tests and benchmarks."""
    global _forced
    before, _forced = _forced, module
    try:
        yield
    finally:
        _forced = before
