"""Between host and device without waiting."""

from __future__ import annotations

import torch


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a small host tensor on a device; the host does not wait for the copy.

    A copy from ordinary memory to a CUDA device makes the host wait until all work queued before it is done; one from
    page-locked memory takes its turn.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
