"""Layers that ``torch.compile`` calls instead of tracing into them, and that ``torch.export`` refuses.

The engines pass memory addresses to compiled kernels. A tracer sees no operations there, and its stand-ins for tensors
have no memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

Forward = TypeVar("Forward", bound=Callable[..., Any])
_is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", lambda: False)  # since torch 2.7


def untraced(forward: Forward) -> Forward:
    """Mark the ``forward`` of a layer that an engine computes.

    Under ``torch.compile`` the graph breaks at the layer, which is called as it is. The decorator
    ``torch.compiler.disable`` does the same, but imports torch's compiler, which takes a second in every process.

    Raises:
        RuntimeError: the layer, when called, is being exported by ``torch.export``.
    """

    @functools.wraps(forward)
    def call(layer: torch.nn.Module, *arguments: Any, **named: Any) -> Any:
        if _is_exporting():
            raise RuntimeError(
                f"torch.export cannot export {type(layer).__name__}: sparse convolutions are computed by compiled "
                "kernels outside of torch; export what stands before and after them"
            )
        if torch.compiler.is_compiling():
            return torch.compiler.disable(forward)(layer, *arguments, **named)
        return forward(layer, *arguments, **named)

    return cast(Forward, call)
