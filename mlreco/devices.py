"""Copies from the host to a device without waiting."""

from __future__ import annotations

import torch


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a small host tensor on a device; the host does not wait for the copy.

    A copy from ordinary memory to a CUDA device blocks the host until all earlier work on the device is done. A copy
    from page-locked memory is queued behind that work.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
