"""What a kernel is told: a structure of numbers and addresses, written with names and checked once.

A layout names the fields in their order; kernels read the structure with ``Layout.dtype``. A job holds every array that
it has the address of, so that memory lives as long as the job that points to it.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from mlreco.sparse.native.memory import Array, address

_TORCH: dict[Any, torch.dtype] = {
    np.float32: torch.float32,
    np.float64: torch.float64,
    np.int32: torch.int32,
    np.int64: torch.int64,
}
_NOTHING: Mapping[str, int] = {}

INT = "a number"
"""Field kind: an int64 that the caller gives."""
FLOAT = "a float"
"""Field kind: a float64."""
OWN = "written by kernels"
"""Field kind: an int64 that kernels write; 0 before."""
CODE = "machine code"
"""Field kind: where a kernel (:class:`mlreco.sparse.native.jit.SharedKernel`) begins."""
RECORD = "a structure"
"""Field kind: where another job begins, or a table of them."""


@dataclass(frozen=True)
class Numbers:
    """Field kind: where the numbers of an array begin.

    Attributes:
        dtype: of the array.
        shape: its sizes: numbers, or names of fields or of the job's ``dims``; None: whoever makes the job knows.
        any_strides: it need not be C-contiguous.
        optional: it may be absent; the address is 0 then.
    """

    dtype: type
    shape: tuple[str | int, ...] | None = None
    any_strides: bool = False
    optional: bool = False

    def place(self, name: str, numbers: Array, sizes: Mapping[str, Any], dims: Mapping[str, int]) -> int:
        """Return where the numbers begin, after all checks that stand between a kernel and foreign memory."""
        if self.shape is not None:
            expected = tuple([n if isinstance(n, int) else dims[n] if n in dims else sizes[n] for n in self.shape])
            if numbers.shape != expected:
                raise ValueError(f"{name} must have the shape {expected}, not {tuple(numbers.shape)}")
        if isinstance(numbers, torch.Tensor):
            if numbers.dtype is _TORCH[self.dtype] and numbers.is_cpu and (self.any_strides or numbers.is_contiguous()):
                return numbers.data_ptr()
        elif numbers.dtype == self.dtype and (self.any_strides or numbers.flags.c_contiguous):
            return address(numbers)
        what = self.dtype.__name__ + ("" if self.any_strides else ", C-contiguous")
        raise ValueError(f"{name} must be {what} and on the CPU; this is of {numbers.dtype}")


Kind = str | Numbers


class Layout:
    """The fields of a structure.

    Args:
        fields: their kinds by their names, in their order; each takes eight bytes.

    Attributes:
        dtype: the structure as kernels read it.
    """

    def __init__(self, **fields: Kind) -> None:
        self.fields = fields
        self.dtype = np.dtype([(name, np.float64 if kind is FLOAT else np.int64) for name, kind in fields.items()])

    def __add__(self, other: Layout) -> Layout:
        """Return the layout of the fields of both."""
        return Layout(**self.fields, **other.fields)

    def numbers(self, values: dict[str, Any], dims: Mapping[str, int], kept: list[Any]) -> list[int]:
        """Return the int64 of a structure, and put into ``kept`` what they point to.

        Raises:
            TypeError: a field is missing, unknown, or of another kind.
            ValueError: an array has another shape or type.
        """
        found, given = [], len(values)
        for name, kind in self.fields.items():
            value: Any = values.get(name)
            if kind is OWN:
                found.append(0)
                continue
            given -= name in values
            if kind is INT:
                found.append(_integer(name, value))
            elif kind is FLOAT:
                found.append(bits(value))
            elif kind is CODE:
                found.append(value.address)
            elif isinstance(kind, Numbers) and value is not None:
                found.append(kind.place(name, value, values, dims))
                kept.append(value)
            elif isinstance(kind, Numbers) and kind.optional:
                found.append(0)
            elif value is None:
                raise TypeError(f"field '{name}' of a job is missing")
            else:
                found.append(value.address)
                kept.append(value)
        if given:
            wrong = sorted(name for name in values if self.fields.get(name, OWN) is OWN)
            raise TypeError(f"a job has no fields {wrong} to be given")
        return found


def _integer(name: str, value: Any) -> int:
    if type(value) is not int:
        if not isinstance(value, (int, np.integer)):
            raise TypeError(f"field '{name}' of a job must be an integer, not {value!r}")
        return int(value)
    return value


@lru_cache
def bits(number: float) -> int:
    """Return the int64 whose memory is that of a float64."""
    return struct.unpack("q", struct.pack("d", number))[0]


class Job:
    """A structure in memory, with what it points to.

    Args:
        layout: its fields.
        dims: sizes that shapes in the layout name and that are no fields.
        values: the fields by their names: integers, floats, arrays, kernels and other jobs.

    Attributes:
        address: where it begins.
    """

    __slots__ = ("_kept", "_numbers", "address")

    def __init__(self, layout: Layout, dims: Mapping[str, int] = _NOTHING, **values: Any) -> None:
        self._kept: list[Any] = []
        self._set(layout.numbers(values, dims, self._kept))

    def _set(self, numbers: list[int]) -> None:
        self._numbers: array | None = array("q", numbers)
        self.address = self._numbers.buffer_info()[0]

    @classmethod
    def table(cls, layout: Layout, rows: Iterable[tuple[Mapping[str, int], dict[str, Any]]]) -> Job:
        """Return several structures one after another.

        Args:
            layout: of each.
            rows: dims and values of each.
        """
        table = cls.__new__(cls)
        table._kept = []
        table._set([number for dims, values in rows for number in layout.numbers(values, dims, table._kept)])
        return table

    @classmethod
    def over(cls, numbers: Array) -> Job:
        """Return the job whose memory is an array, for kernels that read it as such."""
        job = cls.__new__(cls)
        job._kept, job._numbers, job.address = [numbers], None, address(numbers)
        return job
