"""Buffers that begin on a cache line."""

from __future__ import annotations

import ctypes
import struct
import threading
from array import array
from dataclasses import fields
from functools import lru_cache

import numpy as np
import torch

Array = np.ndarray | torch.Tensor
"""What kernels read and write: numbers on the CPU. A tensor tells soonest where it is; its gradient does not matter."""
Job = array
"""The int64 numbers that a kernel reads as a structure."""
_TORCH = {np.float32: torch.float32, np.int64: torch.int64, np.uint8: torch.uint8}
_own = threading.local()


def aligned_empty(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Return an uninitialised C-contiguous array that begins on a 64-byte boundary, as all tensors of torch do."""
    return torch.empty(shape, dtype=_TORCH[dtype], device="cpu").numpy()


def floats(*shape: int) -> torch.Tensor:
    """Return uninitialised float32 memory on the CPU, whatever torch makes by default."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def scratch(size: int, purpose: str) -> torch.Tensor:
    """Return at least ``size`` float32 numbers that this thread may use until it asks for the same purpose again."""
    buffer = getattr(_own, purpose, None)
    if buffer is None or buffer.numel() < size:
        buffer = floats(max(size, 1 << 16))
        setattr(_own, purpose, buffer)
    return buffer


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """Return the numbers of a tensor on the CPU, C-contiguous, without its gradient."""
    return tensor.detach().contiguous().numpy()


def job(*numbers: int) -> Job:
    """Return the numbers of a job, in the order of its fields."""
    return array("q", numbers)


@lru_cache
def bits(number: float) -> int:
    """Return the int64 whose memory is that of a float64, for the fields of a job that are none."""
    return struct.unpack("q", struct.pack("d", number))[0]


class HoldsAddresses:
    """What remembers where its arrays are: a dataclass whose copies are made of copies of its arguments alone."""

    def __reduce__(self) -> tuple[type, tuple]:
        """Return how a copy is made, also in another process."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self) if field.init)


def address_of_floats(numbers: Array, name: str, shape: tuple[int, ...]) -> int:
    """Return where the numbers of an array begin, after all checks that stand between a kernel and foreign memory.

    Args:
        numbers: float32, C-contiguous.
        name: what it is, for the error.
        shape: that it must have.

    Raises:
        ValueError: they have another shape, are not float32, do not follow each other, or are not on the CPU.
    """
    if numbers.shape != shape:
        raise ValueError(f"{name} must have the shape {tuple(shape)}, not {tuple(numbers.shape)}")
    if isinstance(numbers, torch.Tensor):
        if numbers.dtype is torch.float32 and numbers.is_contiguous() and numbers.is_cpu:
            return numbers.data_ptr()
    elif numbers.dtype == np.float32 and numbers.flags.c_contiguous:
        return address(numbers)
    raise ValueError(f"{name} must be float32, C-contiguous and on the CPU; this is of {numbers.dtype}")


def address(numbers: Array | Job) -> int:
    """Return where the numbers of an array begin."""
    if isinstance(numbers, torch.Tensor):
        return numbers.data_ptr()
    if isinstance(numbers, array):
        return numbers.buffer_info()[0]
    if numbers.flags.c_contiguous and numbers.flags.writeable and numbers.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(numbers))  # a third of the time of the other way
    return numbers.__array_interface__["data"][0]
