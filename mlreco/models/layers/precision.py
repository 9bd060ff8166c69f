"""Arithmetic of the networks: automatic mixed precision and TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

AMP_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
"""Values of ``trainval.amp`` beside ``off``, and what they compute in."""


def autocast(amp: str, device: torch.device) -> torch.autocast:
    """Return the context in which a network runs in mixed precision.

    Args:
        amp: ``off``, ``fp16`` or ``bf16``.
        device: of the network.
    """
    return torch.autocast(device.type, dtype=AMP_DTYPES.get(amp, torch.bfloat16), enabled=amp in AMP_DTYPES)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let float32 products on CUDA round their operands to TF32 inside the block, or not; the switches are restored.

    TF32 has the range of float32 and 10 bits of mantissa instead of 23. Sparse convolutions follow the same switch:
    spconv chooses its kernels at the first call of a process, which therefore must not come before.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
