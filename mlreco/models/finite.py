"""Check that the parameters of a network are finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first floating point tensor that holds something else than finite numbers, or None.

    Args:
        tensors: by name, such as ``state_dict()`` or ``dict(named_buffers())``; on one device.
    """
    floating = {name: value.detach() for name, value in tensors.items() if value.is_floating_point() and value.numel()}
    if not floating:
        return None
    norms = list(torch._foreach_norm(list(floating.values()), torch.inf))
    alike = len({norm.dtype for norm in norms}) == 1
    largest = torch.stack(norms if alike else [norm.double() for norm in norms])
    bad = (~largest.isfinite()).nonzero()
    return list(floating)[int(bad[0])] if len(bad) else None
