"""Second derivatives of functions whose gradient is implemented by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


def gradients_with_graph(
    reference: Callable[..., torch.Tensor],
    inputs: Sequence[torch.Tensor | None],
    needed: Sequence[bool],
    grad: torch.Tensor,
) -> tuple[torch.Tensor | None, ...]:
    """Return the gradients of a function as torch operations, so that they can be differentiated again.

    A ``torch.autograd.Function`` calls it in its ``backward`` where gradients are recorded there, that is, where the
    caller asked for ``create_graph=True``: the results of compiled code and in-place operations have no graph, and a
    loss of them (a gradient penalty) would silently be a constant.

    Args:
        reference: computes the same as the function, from differentiable torch operations.
        inputs: its tensors, as ``ctx.saved_tensors`` has them; None for those that are absent.
        needed: whether the gradient of each is wanted.
        grad: of the output.

    Returns:
        the gradients, None where not needed.
    """
    with torch.enable_grad(), torch.autocast(grad.device.type, enabled=False):
        # A view of each, so that a tensor that is given twice gets the gradient of each of its places.
        places = [None if x is None else x.view_as(x) for x in inputs]
        wanted = [x for x, is_needed in zip(places, needed, strict=True) if x is not None and is_needed]
        found = iter(torch.autograd.grad(reference(*places), wanted, grad, create_graph=True, materialize_grads=True))
        return tuple(next(found) if is_needed else None for is_needed in needed)
