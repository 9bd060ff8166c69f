"""Memory that kernels use, and its addresses."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Array = np.ndarray | torch.Tensor
"""What kernels read and write, in CPU memory. Autograd does not notice what they do to a tensor."""
_TORCH: dict[type, torch.dtype] = {np.float32: torch.float32, np.int64: torch.int64, np.uint8: torch.uint8}


def aligned_empty(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Return an uninitialised C-contiguous array that begins on a 64-byte boundary, as all tensors of torch do."""
    return torch.empty(shape, dtype=_TORCH[dtype], device="cpu").numpy()


def floats(*shape: int) -> torch.Tensor:
    """Return an uninitialised float32 tensor on the CPU, whatever torch's default dtype and device are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


_first_byte = cast("Callable[[np.ndarray], ctypes.c_char]", ctypes.c_char.from_buffer)


class Scratch(threading.local):
    """A buffer for one purpose, one per thread, that successive calls of that thread reuse."""

    def __init__(self) -> None:
        self._buffer = floats(1 << 16)

    def floats(self, size: int) -> torch.Tensor:
        """Return at least ``size`` float32 numbers, valid until this thread asks this buffer again."""
        if self._buffer.numel() < size:
            self._buffer = floats(size)
        return self._buffer


class HoldsAddresses:
    """A dataclass that caches addresses of its arrays: ``copy`` and ``pickle`` construct it anew from its arguments."""

    def __reduce__(self) -> tuple[type, tuple]:
        """Return constructor and arguments."""
        return type(self), tuple(
            getattr(self, field.name) for field in fields(cast("DataclassInstance", self)) if field.init
        )


def address(numbers: Array) -> int:
    """Return the address of the first number of an array."""
    if isinstance(numbers, torch.Tensor):
        return numbers.data_ptr()
    if numbers.flags.c_contiguous and numbers.flags.writeable and numbers.size:
        return ctypes.addressof(_first_byte(numbers))  # a third of the time of the other way
    return numbers.__array_interface__["data"][0]
